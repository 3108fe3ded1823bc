/* SPDX-License-Identifier: MIT */
/*
 * test/fuzz/standalone_main.c - runs a fuzz target over files, without libFuzzer.
 *
 * With this main() any compiler builds a target; each argument is a file, or a folder of files,
 * given to LLVMFuzzerTestOneInput once.  So the corpus is an ordinary test, and a crash found
 * elsewhere can be run again under a debugger.  Options (arguments that begin with '-') are
 * libFuzzer's and are ignored.
 */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs = 0;

static int
run_file(const char *path)
{
	FILE *file = fopen(path, "rbe");
	uint8_t *whole = malloc(INPUT_BYTES_MAX);
	uint8_t *exact = NULL;
	size_t size = 0;
	int failed = file == NULL || whole == NULL;

	if (!failed)
	{
		size = fread(whole, 1, INPUT_BYTES_MAX, file);
		failed = ferror(file) != 0;
	}
	/* memory of exactly the input's size, so that a sanitizer sees any read beyond it */
	if (!failed)
		exact = malloc(size != 0 ? size : 1);
	if (exact != NULL)
	{
		for (size_t i = 0; i < size; i++)
			exact[i] = whole[i];
		(void) LLVMFuzzerTestOneInput(exact, size);
		inputs++;
	}
	else
	{
		(void) fprintf(stderr, "cannot read %s\n", path);
		failed = 1;
	}
	free(exact);
	free(whole);
	if (file != NULL)
		(void) fclose(file);
	return failed;
}

static int
run_path(const char *path)
{
	struct stat info;
	struct dirent *entry;
	DIR *folder;
	int failed = 0;

	if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
		return run_file(path);
	folder = opendir(path);
	if (folder == NULL)
		return 1;
	while ((entry = readdir(folder)) != NULL)
	{
		char name[4096];
		int len = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.' && len > 0 && (size_t) len < sizeof name)
			failed |= run_file(name);
	}
	(void) closedir(folder);
	return failed;
}

int
main(int argc, char **argv)
{
	int failed = 0;

	for (int i = 1; i < argc; i++)
	{
		if (argv[i][0] != '-')
			failed |= run_path(argv[i]);
	}
	(void) printf("%zu inputs\n", inputs);
	return failed;
}
