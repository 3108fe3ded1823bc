/* SPDX-License-Identifier: MIT */
/*
 * core/backend/command.c - the shell command of one attempt.
 *
 * An agent runs one shell command per run.  Its text is a prologue of ours and, in parentheses, the
 * chain of contract/execution.md section 5.  The prologue makes three promises that an agent alone
 * cannot make:
 *
 *   fence    The first act makes the state folder of this attempt, without -p.  A second start of the
 *            same attempt (a request repeated after a crash or a lost answer) stops there with
 *            AUT_EXIT_FENCE, so nothing runs twice.
 *   truth    The exit code, whether the shell was told to end, and the seconds it took are in the file
 *            `exit`, which appears by rename when everything printed before it is on disk.  It survives
 *            a restart of the agent, which forgets the ends of its commands.  Output that is short is in
 *            it, too, all of it, after a line that ends in +: then one question tells everything.
 *   output   What the program prints goes through a fifo and a pump into segments `out.<offset>` of
 *            about 1 MiB, of which the last two are kept (`cur` names both).  So it can be read while
 *            the program runs (agents publish short output only at the end), both streams in order of
 *            writing, in bounded space.
 *
 * The text is plain POSIX sh with coreutils' dd, mkfifo and wc: agents run it by /bin/sh, dash on Debian.
 * What it does not do: hold a run open for background children.  Five seconds after the program's end
 * the exit code is written even if a child still holds the output.
 */
#include <stdio.h>
#include <string.h>

#include "automation/backend.h"

#define AS_TEXT_(x) #x
#define AS_TEXT(x)  AS_TEXT_(x)

static aut_status path_init(char *out, size_t size, aut_error *err, const char *what,
							const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static aut_status
path_init(char *out, size_t size, aut_error *err, const char *what, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(out, size, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t) n >= size)
		return aut_fail(err, AUT_ELIMIT, "path of the run's %s is longer than %zu bytes", what,
						size - 1);
	return AUT_OK;
}

aut_status
aut_attempt_paths_init(aut_attempt_paths *out, const aut_uuid *run_id, int attempt,
					   const aut_place *place, aut_error *err)
{
	aut_attempt_paths paths;
	char run[AUT_UUID_TEXT_MAX];
	aut_uuid_format(run_id, run);
	aut_status status = path_init(paths.tarball, sizeof paths.tarball, err, "tarball",
								  "/tmp/automation-%s.tar.gz", run);
	if (status == AUT_OK)
		status = path_init(paths.env, sizeof paths.env, err, "environment",
						   "/tmp/automation-%s.tar.gz.env", run);
	if (status == AUT_OK)
		status = path_init(paths.state, sizeof paths.state, err, "state folder",
						   "/tmp/automation-%s.%d", run, attempt);
	if (status == AUT_OK)
	{
		if (place->local)
			status = path_init(paths.work, sizeof paths.work, err, "work folder",
							   "%s/automation-runs/%s", place->work_base, run);
		else
			status = path_init(paths.work, sizeof paths.work, err, "work folder", "%s",
							   place->work_base);
	}
	if (status == AUT_OK)
		*out = paths;
	return status;
}

/* The prologue; @D is replaced by the quoted state folder, @F and @S by the two exit codes. */
static const char PROLOGUE[] =
	"_d=@D\n"
	"mkdir -m 700 \"$_d\" 2>/dev/null || { [ -d \"$_d\" ] && exit @F; exit @S; }\n"
	"read -r _x 2>/dev/null </proc/$$/stat; set -- $_x\n"
	"{ echo \"$$ ${22:-0}\" >\"$_d/pgid\" && mkfifo -m 600 \"$_d/pipe\"; } || { rm -rf \"$_d\"; "
	"exit @S; }\n"
	"set --; _t=$(date +%s) _s=- _o='' _b=0 _n=0\n"
	"trap '_s=TERM' TERM; trap '_s=INT' INT; trap '_s=HUP' HUP\n"
	/* The pump.  dd writes what it reads at once; it is called anew every 16 reads so that the size can
	 * be looked at.  No growth means end of file, or a full disk: then the rest is thrown away, so that
	 * the program goes on. */
	"( trap '' HUP INT TERM; exec <\"$_d/pipe\" >/dev/null 2>&1\n"
	"  while dd bs=65536 count=16 >>\"$_d/out.$_b\"; _m=$(wc -c <\"$_d/out.$_b\"); [ \"$_m\" -gt "
	"\"$_n\" ]; do\n"
	"    _n=$((_m)); [ \"$_n\" -ge 1048576 ] || continue\n"
	"    [ -z \"$_o\" ] || rm -f \"$_d/out.$_o\"\n"
	"    _o=$_b _b=$((_b + _n)) _n=0; : >\"$_d/out.$_b\"; echo \"$_o $_b\" >\"$_d/cur.t\"; mv "
	"\"$_d/cur.t\" \"$_d/cur\"\n"
	"  done; cat; : >\"$_d/drained\" ) &\n"
	"exec 3>\"$_d/pipe\"\n"
	/* The shell of the chain outlives a signal to the group, so that what the program makes of it (and
	 * its exit code) is seen; the program itself starts with the default. */
	"( trap : HUP INT TERM; exec >&3 2>&1 3>&-\n";

static const char EPILOGUE[] =
	"\n)\n"
	"_c=$?; exec 3>&-\n"
	"for _w in .01 .02 .03 .1 .1 .1 .2 .5 .5 .5 1 1 1; do [ -e \"$_d/drained\" ] && break; sleep "
	"$_w; done\n"
	"_e=\"$_c $_s $(($(date +%s) - _t))\"\n"
	/* Only when the pump is through, and a copy that failed is not one. */
	"{ [ -e \"$_d/drained\" ] && [ ! -e \"$_d/cur\" ] && { echo \"$_e +\" && { [ ! -s "
	"\"$_d/out.0\" ] || dd "
	"bs=" AS_TEXT(
		AUT_EXIT_OUTPUT_MAX) " count=1 <\"$_d/out.0\" 2>/dev/null; }; } >\"$_d/exit.t\"; } || "
							 "echo \"$_e\" >\"$_d/exit.t\" && mv \"$_d/exit.t\" \"$_d/exit\"\n"
							 "exit $_c\n";

static void
put_prologue(aut_buf *out, const char *state)
{
	for (const char *p = PROLOGUE; *p != '\0'; p++)
	{
		if (*p != '@')
			aut_buf_putc(out, *p);
		else if (*++p == 'D')
			aut_shell_quote(out, state, strlen(state));
		else
			aut_buf_printf(out, "%d", *p == 'F' ? AUT_EXIT_FENCE : AUT_EXIT_SETUP);
	}
}

static void
put_quoted(aut_buf *out, const char *before, const char *text)
{
	aut_buf_puts(out, before);
	aut_shell_quote(out, text, strlen(text));
}

aut_status
aut_command_text(const aut_attempt_paths *paths, const char *entrypoint, aut_buf *out,
				 aut_error *err)
{
	put_prologue(out, paths->state);
	put_quoted(out, "set +x; trap 'rm -f '", paths->env);
	/* The trap's own text is in single quotes; the path has none (a UUID and fixed words). */
	put_quoted(out, " EXIT && chmod 600 ", paths->env);
	put_quoted(out, " && . ", paths->env);
	put_quoted(out, " && rm -f ", paths->env);
	put_quoted(out, " && mkdir -p ", paths->work);
	put_quoted(out, " && tar xzf ", paths->tarball);
	put_quoted(out, " -C ", paths->work);
	put_quoted(out, " && rm -f ", paths->tarball);
	put_quoted(out, " && cd ", paths->work);
	aut_buf_puts(out, " && { [ ! -f setup.sh ] || bash setup.sh; } && ");
	aut_buf_puts(out, entrypoint);
	aut_buf_puts(out, EPILOGUE);
	if (out->status != AUT_OK)
		return aut_fail(err, out->status, "command of the run: %s", aut_status_text(out->status));
	return AUT_OK;
}

/* Is it a name a shell can export: [A-Za-z_][A-Za-z0-9_]* ? */
static bool
is_identifier(const char *name)
{
	if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') || *name == '_'))
		return false;
	for (; *name != '\0'; name++)
		if (!((*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z') || *name == '_' ||
			  (*name >= '0' && *name <= '9')))
			return false;
	return true;
}

aut_status
aut_env_line(aut_buf *out, const char *name, const char *value, aut_error *err)
{
	if (!is_identifier(name))
		return aut_fail(
			err, AUT_EINVAL,
			"\"%s\" cannot be the name of an environment variable: letters, digits and _, "
			"not starting with a digit",
			name);
	aut_buf_puts(out, "export ");
	aut_buf_puts(out, name);
	aut_buf_putc(out, '=');
	aut_shell_quote(out, value, strlen(value));
	aut_buf_putc(out, '\n');
	if (out->status != AUT_OK)
		return aut_fail(err, out->status, "environment of the run: %s",
						aut_status_text(out->status));
	return AUT_OK;
}
