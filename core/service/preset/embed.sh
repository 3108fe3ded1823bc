#!/bin/sh
# SPDX-License-Identifier: MIT
# embed.sh FILE...: the files as C, on standard output: what the Makefile puts into the program.
set -eu

echo "/* Made from the files of core/service/preset; do not edit. */"
echo "#include \"core/service/preset.h\""
index=0
for file in "$@"; do
	echo "static const unsigned char bytes_$index[] = {"
	od -An -v -tu1 "$file" | sed 's/[0-9][0-9]*/&,/g'
	echo "0};"
	index=$((index + 1))
done
echo "const aut__preset_file AUT__PRESET_FILES[] = {"
index=0
for file in "$@"; do
	echo "{\"${file##*/}\", bytes_$index, sizeof bytes_$index - 1},"
	index=$((index + 1))
done
echo "{0, 0, 0}};"
