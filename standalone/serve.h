/* SPDX-License-Identifier: MIT */
/*
 * standalone/serve.h - the command `serve`.
 */
#ifndef AUT_SERVE_H
#define AUT_SERVE_H

extern const char aut_serve_usage[];
int aut_cmd_serve(int argc, char **argv);

#endif
