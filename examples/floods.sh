#!/bin/sh
# SPDX-License-Identifier: MIT
# floods: about 50 MB of output, then one last line. The newest part is kept (1 MiB unless
# AUTOMATION_OUTPUT_KEEP_BYTES says otherwise), the rest is dropped; nothing stops, and nothing fills up.
#
#   automation create flood --script examples/floods.sh
#   automation run flood && automation logs flood -f | tail -n 3
awk 'BEGIN {
	for (i = 1; i <= 500000; i++)
		printf "line %07d of a flood: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123\n", i
}'
echo "the last line"
