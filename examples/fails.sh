#!/bin/sh
# SPDX-License-Identifier: MIT
# fails: a program that ends badly. The run ends FAILED, with its exit code and what it said on stderr.
#
#   automation create fails --script examples/fails.sh
#   automation run fails -f          (the command itself then exits with 4)
echo "looking for the report"
echo "fails.sh: the report is not there" >&2
exit 3
