#!/bin/sh
# SPDX-License-Identifier: MIT
# hello-shell: the smallest automation. A few lines over about a second.
#
#   automation create hello --script examples/hello-shell.sh
#   automation run hello -f
#
# Every minute instead of by hand:   add   --schedule '* * * * *'
set -eu

echo "Hello from ${AUTOMATION_NAME:-a shell}, run ${AUTOMATION_RUN_ID:-by hand}."
for step in 1 2 3 4; do
	echo "step $step of 4"
	sleep 0.25
done
echo "Done: triggered by ${AUTOMATION_RUN_TRIGGER_SOURCE:-nobody}, worked in $(pwd)."
