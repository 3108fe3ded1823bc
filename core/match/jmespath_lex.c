/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_lex.c - the text of an expression as tokens.
 *
 * All tokens are made before anything is parsed, so that a bad character is reported even behind
 * another mistake, as the reference does.  Between backticks stands JSON; what is not JSON is taken as
 * a text, an old custom that many filters use.
 */
#include <string.h>

#include "core/match/jmespath.h"

typedef struct lexer
{
	aut__work *work;
	const char *text;
	size_t len, at;
	aut__token *tokens;
	size_t count;
} lexer;

static bool
is_name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
peek(const lexer *in)
{
	return in->at + 1 < in->len ? in->text[in->at + 1] : '\0';
}

static aut__token *
token_add(lexer *in, aut__token_kind kind, size_t len)
{
	aut__token *token = &in->tokens[in->count++];

	*token = (aut__token){.kind = kind, .at = in->at, .len = len};
	in->at += len;
	return token;
}

static bool
unknown(lexer *in)
{
	/* one whole character, so that the message stays UTF-8 */
	size_t end = in->at;

	aut__code_point(in->text, in->len, &end);
	return aut__work_fail(in->work, AUT_EINVAL, "unknown character '%.*s' at byte %zu",
						  (int) (end - in->at), in->text + in->at, in->at);
}

/* Where the text that begins at in->at with its delimiter ends (the closing delimiter), or 0. */
static size_t
closing(lexer *in, char delimiter)
{
	size_t end = in->at + 1;

	while (end < in->len && in->text[end] != delimiter)
		end += in->text[end] == '\\' ? 2 : 1;
	if (end < in->len)
		return end;
	aut__work_fail(in->work, AUT_EINVAL, "the %c at byte %zu is not closed by another", delimiter,
				   in->at);
	return 0;
}

/* The text between delimiters with \delimiter made delimiter. */
static char *
unescape(lexer *in, size_t end, char delimiter, size_t *out_len)
{
	size_t used = 0;
	char *made = aut__make(in->work, end - in->at);

	if (made == NULL)
		return NULL;
	for (size_t i = in->at + 1; i < end; i++)
	{
		if (in->text[i] == '\\' && i + 1 < end)
		{
			if (in->text[i + 1] != delimiter)
				made[used++] = '\\';
			i++;
		}
		made[used++] = in->text[i];
	}
	*out_len = used;
	return made;
}

static bool
lex_raw(lexer *in)
{
	size_t end = closing(in, '\'');
	size_t len = 0;
	const char *made = end != 0 ? unescape(in, end, '\'', &len) : NULL;
	const aut__value *value = made != NULL ? aut__text(in->work, made, len) : NULL;

	if (value == NULL)
		return false;
	token_add(in, AUT__T_LITERAL, end + 1 - in->at)->value = value;
	return true;
}

/* Not JSON: would it be, between quotes?  Then that is the text that was meant. */
static const aut__value *
bare_text(lexer *in, const char *text, size_t len)
{
	char *quoted;

	while (len > 0 && memchr(" \t\n\r\v\f", text[0], 6) != NULL)
	{
		text++;
		len--;
	}
	quoted = aut__make(in->work, len + 2);
	if (quoted == NULL)
		return NULL;
	quoted[0] = '"';
	memcpy(quoted + 1, text, len);
	quoted[len + 1] = '"';
	return aut__json_read(in->work, quoted, len + 2, NULL);
}

static bool
lex_literal(lexer *in)
{
	size_t end = closing(in, '`');
	size_t len = 0;
	const char *made = end != 0 ? unescape(in, end, '`', &len) : NULL;
	const aut__value *value;

	if (made == NULL)
		return false;
	value = aut__json_read(in->work, made, len, NULL);
	if (value == NULL && in->work->status == AUT_OK)
		value = bare_text(in, made, len);
	if (value == NULL)
		return aut__work_fail(in->work, AUT_EINVAL,
							  "the literal at byte %zu is neither JSON nor a plain word", in->at);
	token_add(in, AUT__T_LITERAL, end + 1 - in->at)->value = value;
	return true;
}

static bool
lex_quoted(lexer *in)
{
	size_t end = closing(in, '"');
	const aut__value *value;

	if (end == 0)
		return false;
	value = aut__json_read(in->work, in->text + in->at, end + 1 - in->at, NULL);
	if (value != NULL)
	{
		/* The tree outlives the text. */
		const aut__value *copy = aut__text_copy(in->work, value->as.text, value->len);

		value = copy != NULL ? aut__key(in->work, copy->as.text, copy->len) : NULL;
	}
	if (value == NULL)
		return aut__work_fail(in->work, AUT_EINVAL,
							  "the quoted name at byte %zu is not a valid JSON string", in->at);
	token_add(in, AUT__T_QUOTED, end + 1 - in->at)->value = value;
	return true;
}

static bool
lex_name(lexer *in)
{
	size_t end = in->at;
	const aut__value *copy, *key;

	while (end < in->len && (is_name_start(in->text[end]) || is_digit(in->text[end])))
		end++;
	copy = aut__text_copy(in->work, in->text + in->at, end - in->at);
	key = copy != NULL ? aut__key(in->work, copy->as.text, copy->len) : NULL;
	if (key == NULL)
		return false;
	token_add(in, AUT__T_NAME, end - in->at)->value = key;
	return true;
}

static bool
lex_number(lexer *in)
{
	bool negative = in->text[in->at] == '-';
	size_t end = in->at + (negative ? 1 : 0);
	int64_t value = 0;

	if (end >= in->len || !is_digit(in->text[end]))
		return unknown(in);
	for (; end < in->len && is_digit(in->text[end]); end++)
	{
		int64_t digit = in->text[end] - '0';

		/* Beyond any list either way; where exactly does not matter. */
		if (value > (INT64_MAX / 2 - digit) / 10)
			value = INT64_MAX / 2;
		else
			value = value * 10 + digit;
	}
	token_add(in, AUT__T_NUMBER, end - in->at)->number = negative ? -value : value;
	return true;
}

/* What is one or two characters. */
static bool
lex_sign(lexer *in)
{
	static const struct
	{
		char text[3];
		aut__token_kind kind;
		aut__compare_op op;
	} signs[] = {
		/* longer ones first */
		{"[]", AUT__T_FLATTEN, AUT__EQ},  {"[?", AUT__T_FILTER, AUT__EQ},
		{"||", AUT__T_OR, AUT__EQ},       {"&&", AUT__T_AND, AUT__EQ},
		{"==", AUT__T_COMPARE, AUT__EQ},  {"!=", AUT__T_COMPARE, AUT__NE},
		{"<=", AUT__T_COMPARE, AUT__LE},  {">=", AUT__T_COMPARE, AUT__GE},
		{"<", AUT__T_COMPARE, AUT__LT},   {">", AUT__T_COMPARE, AUT__GT},
		{"[", AUT__T_LBRACKET, AUT__EQ},  {"]", AUT__T_RBRACKET, AUT__EQ},
		{"|", AUT__T_PIPE, AUT__EQ},      {"&", AUT__T_EXPREF, AUT__EQ},
		{"!", AUT__T_NOT, AUT__EQ},       {".", AUT__T_DOT, AUT__EQ},
		{"*", AUT__T_STAR, AUT__EQ},      {",", AUT__T_COMMA, AUT__EQ},
		{":", AUT__T_COLON, AUT__EQ},     {"@", AUT__T_CURRENT, AUT__EQ},
		{"(", AUT__T_LPAREN, AUT__EQ},    {")", AUT__T_RPAREN, AUT__EQ},
		{"{", AUT__T_LBRACE, AUT__EQ},    {"}", AUT__T_RBRACE, AUT__EQ},
	};

	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
	{
		if (in->text[in->at] != signs[i].text[0] ||
			(signs[i].text[1] != '\0' && signs[i].text[1] != peek(in)))
			continue;
		token_add(in, signs[i].kind, signs[i].text[1] != '\0' ? 2 : 1)->op = signs[i].op;
		return true;
	}
	if (in->text[in->at] == '=')
		return aut__work_fail(in->work, AUT_EINVAL, "a single '=' at byte %zu; equal is '=='",
							  in->at);
	return unknown(in);
}

bool
aut__lex(aut__work *work, const char *text, size_t len, aut__token **out, size_t *out_count)
{
	lexer in = {.work = work, .text = text, .len = len};
	bool good = true;

	/* never more tokens than bytes, and the end */
	in.tokens = aut_calloc(len + 1, sizeof *in.tokens);
	if (in.tokens == NULL)
		return aut__work_fail(work, AUT_ENOMEM, "out of memory for an expression");
	while (in.at < len && good)
	{
		char c = text[in.at];

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
			in.at++;
		else if (is_name_start(c))
			good = lex_name(&in);
		else if (is_digit(c) || c == '-')
			good = lex_number(&in);
		else if (c == '\'')
			good = lex_raw(&in);
		else if (c == '`')
			good = lex_literal(&in);
		else if (c == '"')
			good = lex_quoted(&in);
		else
			good = lex_sign(&in);
	}
	if (!good)
	{
		aut_free(in.tokens);
		return false;
	}
	token_add(&in, AUT__T_EOF, 0);
	*out = in.tokens;
	*out_count = in.count;
	return true;
}
