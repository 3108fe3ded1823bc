#!/bin/sh
# SPDX-License-Identifier: MIT
# times-out: a program that takes longer than it may. Its processes are ended, and the run FAILED with
# "Timed out".
#
#   automation create slow --script examples/times-out.sh --timeout 2
#   automation run slow -f
echo "this will take a while"
sleep 600
echo "never seen"
