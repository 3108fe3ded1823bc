/* SPDX-License-Identifier: MIT */
/*
 * standalone/client_prompt.c - automations made of a prompt: --prompt, --repo and --plugin.
 *
 * Lists are words with commas between, as they are short and seldom: repositories as URL or
 * provider:owner/repository, plugins as the SDK names their sources, each with what to check out behind a
 * `#`.  What of it is right, the server says.
 */
#include <string.h>

#include "standalone/client_priv.h"

#define PROMPT_BYTES_MAX 262144 /* the server takes 50,000 characters */

static const char *const providers[] = {"github", "gitlab", "bitbucket", "azure_devops"};

/* One word of a list into an object. */
typedef bool word_reader(json_t *object, const char *word, size_t len);

static bool
put(json_t *object, const char *key, const char *text, size_t len)
{
	return aut_json_set(object, key, json_stringn(text, len));
}

/* [provider:]address[#ref] */
static bool
read_repo(json_t *object, const char *word, size_t len)
{
	const char *end = word + len;
	const char *hash = memchr(word, '#', len);
	const char *url_end = hash != NULL ? hash : end;
	bool good = true;

	for (size_t i = 0; i < sizeof providers / sizeof providers[0]; i++)
	{
		size_t n = strlen(providers[i]);

		if ((size_t) (url_end - word) <= n || strncmp(word, providers[i], n) != 0 || word[n] != ':')
			continue;
		good = put(object, "provider", providers[i], n);
		word += n + 1;
		break;
	}
	good = good && put(object, "url", word, (size_t) (url_end - word));
	if (good && hash != NULL)
		good = put(object, "ref", hash + 1, (size_t) (end - hash) - 1);
	return good;
}

/* source[#ref[:path]] */
static bool
read_plugin(json_t *object, const char *word, size_t len)
{
	const char *hash = memchr(word, '#', len);
	const char *end = word + len;
	const char *colon = hash != NULL ? memchr(hash, ':', (size_t) (end - hash)) : NULL;
	const char *ref_end = colon != NULL ? colon : end;
	bool good = put(object, "source", word, hash != NULL ? (size_t) (hash - word) : len);

	if (good && hash != NULL && ref_end > hash + 1)
		good = put(object, "ref", hash + 1, (size_t) (ref_end - hash) - 1);
	if (good && colon != NULL)
		good = put(object, "repo_path", colon + 1, (size_t) (end - colon) - 1);
	return good;
}

/* The words of a list as objects; NULL: not UTF-8, or no memory. */
static json_t *
read_list(const char *text, word_reader *read)
{
	json_t *out = json_array();
	bool good = out != NULL;

	while (good && *text != '\0')
	{
		size_t len = strcspn(text, ",");
		json_t *object = len > 0 ? json_object() : NULL;

		good = len == 0 ||
			   (object != NULL && read(object, text, len) && json_array_append(out, object) == 0);
		json_decref(object);
		text += len + (text[len] == ',');
	}
	if (good)
		return out;
	json_decref(out);
	return NULL;
}

aut_status
client_prompt_check(client *c, aut_error *err)
{
	const client_args *a = c->args;

	if (a->prompt == NULL && a->plugin != NULL)
		return client_usage(c, err, "--plugin goes with --prompt");
	if (a->prompt == NULL)
		return AUT_OK;
	if (a->script != NULL || a->dir != NULL || a->tarball != NULL)
		return client_usage(c, err, "give a prompt or a program, not both");
	if (a->entrypoint != NULL)
		return client_usage(c, err, "--entrypoint goes with a program, not with a prompt");
	return AUT_OK;
}

/* The prompt: the text itself, or that of a file. */
static aut_status
read_prompt(client *c, json_t *body, aut_error *err)
{
	const char *given = c->args->prompt;
	aut_status status = AUT_OK;
	bool good = true;
	aut_buf text;

	if (given == NULL)
		return AUT_OK;
	aut_buf_init(&text, PROMPT_BYTES_MAX);
	if (given[0] == '@')
	{
		status = client_read_file(given + 1, PROMPT_BYTES_MAX, &text, err);
		good = aut_json_set(body, "prompt", json_stringn(text.len > 0 ? text.data : "", text.len));
	}
	else
		good = aut_json_set(body, "prompt", json_string(given));
	if (status == AUT_OK && !good)
		status = aut_fail(err, AUT_EINVAL, "the prompt is not valid UTF-8");
	aut_buf_done(&text);
	return status;
}

aut_status
client_prompt_members(client *c, json_t *body, aut_error *err)
{
	const client_args *a = c->args;
	aut_status status = read_prompt(c, body, err);

	if (status == AUT_OK && a->repo != NULL &&
		!aut_json_set(body, "repos", read_list(a->repo, read_repo)))
		status = aut_fail(err, AUT_EINVAL, "--repo is not valid UTF-8");
	if (status == AUT_OK && a->plugin != NULL &&
		!aut_json_set(body, "plugins", read_list(a->plugin, read_plugin)))
		status = aut_fail(err, AUT_EINVAL, "--plugin is not valid UTF-8");
	return status;
}
