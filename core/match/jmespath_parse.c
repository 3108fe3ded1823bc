/* SPDX-License-Identifier: MIT */
/*
 * core/match/jmespath_parse.c - tokens as a tree.
 *
 * Precedence climbing: every token that can stand behind an expression has a power, and an
 * expression goes on as long as the next token's power is above the one it was called with.
 *
 * What makes JMESPath special are projections: behind `[*]`, `.*`, `[]`, `[?…]` and a slice the rest
 * of the chain belongs to each element, not to the list.  So these read their right side at once, as
 * far as it binds tighter than PROJECTION_STOP; a pipe, a comparison or a bracket's end closes it.
 *
 * Where the reference is lenient (a comma left out between arguments) so is this, and an index
 * followed by a slice (`a[0][1:]`) makes no projection there: what filters mean must not depend on
 * who reads them.
 */
#include <string.h>

#include "core/match/jmespath.h"

#define PROJECTION_STOP 10

/* In the order of aut__token_kind. */
static const uint8_t POWER[] = {
	[AUT__T_PIPE] = 1,    [AUT__T_OR] = 2,    [AUT__T_AND] = 3,      [AUT__T_COMPARE] = 5,
	[AUT__T_FLATTEN] = 9, [AUT__T_STAR] = 20, [AUT__T_FILTER] = 21,  [AUT__T_DOT] = 40,
	[AUT__T_NOT] = 45,    [AUT__T_LBRACE] = 50, [AUT__T_LBRACKET] = 55, [AUT__T_LPAREN] = 60,
};

typedef struct parser
{
	aut__work *work;
	const char *text;
	const aut__token *tokens;
	size_t at; /* of the token to be looked at; the last one is EOF and never passed */
	int depth;
} parser;


static aut__node *expression(parser *in, int power);
static aut__node *projection_rest(parser *in, int power);

static const aut__token *
token(const parser *in)
{
	return &in->tokens[in->at];
}

static aut__token_kind
kind(const parser *in)
{
	return in->tokens[in->at].kind;
}

static aut__token_kind
kind_after(const parser *in)
{
	return kind(in) == AUT__T_EOF ? AUT__T_EOF : in->tokens[in->at + 1].kind;
}

static void
advance(parser *in)
{
	if (kind(in) != AUT__T_EOF)
		in->at++;
}

static aut__node *
refuse(parser *in, const char *wanted)
{
	const aut__token *found = token(in);

	if (found->kind == AUT__T_EOF)
		aut__work_fail(in->work, AUT_EINVAL, "the expression ends at byte %zu, expected %s",
					   found->at, wanted);
	else
		aut__work_fail(in->work, AUT_EINVAL, "unexpected '%.*s' at byte %zu, expected %s",
					   found->len < 40 ? (int) found->len : 1, in->text + found->at, found->at,
					   wanted);
	return NULL;
}

static bool
expect(parser *in, aut__token_kind wanted, const char *name)
{
	if (kind(in) != wanted)
	{
		refuse(in, name);
		return false;
	}
	advance(in);
	return true;
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static aut__node *
node_make(parser *in, aut__node_kind node_kind)
{
	aut__node *made = aut__make(in->work, sizeof *made);

	if (made == NULL)
		return NULL;
	memset(made, 0, sizeof *made);
	made->kind = node_kind;
	made->height = 1;
	made->at = token(in)->at;
	return made;
}

/* Evaluation follows the tree, on a stack that is small inside PostgreSQL. */
static bool
node_grow(parser *in, aut__node *node, const aut__node *child)
{
	if (child->height >= AUT_JMESPATH_NESTING_MAX)
		return aut__work_fail(in->work, AUT_EINVAL, "the expression nests deeper than %d levels",
							  AUT_JMESPATH_NESTING_MAX);
	if (node->height <= child->height)
		node->height = (uint16_t) (child->height + 1);
	return true;
}

/* A node over up to three children; NULL among them (a failure noted) gives NULL. */
static aut__node *
node_over(parser *in, aut__node_kind node_kind, size_t count, const aut__node *a,
		  const aut__node *b, const aut__node *c)
{
	const aut__node *given[] = {a, b, c};
	aut__node *made = NULL;
	const aut__node **children;

	for (size_t i = 0; i < count; i++)
	{
		if (given[i] == NULL)
			return NULL;
	}
	made = node_make(in, node_kind);
	children = aut__make_array(in->work, count, sizeof *children);
	if (made == NULL || children == NULL)
		return NULL;
	for (size_t i = 0; i < count; i++)
	{
		children[i] = given[i];
		if (!node_grow(in, made, given[i]))
			return NULL;
	}
	made->children = children;
	made->count = count;
	return made;
}

static aut__node *
current(parser *in)
{
	return node_make(in, AUT__N_CURRENT);
}

/* A growing set of children, moved into a node when it is complete. */
typedef struct brood
{
	const aut__node **items;
	size_t count, cap;
} brood;

static bool
brood_add(parser *in, brood *to, const aut__node *child)
{
	if (child == NULL)
		return false;
	if (to->count == to->cap)
	{
		size_t cap = to->cap == 0 ? 4 : to->cap * 2;
		const aut__node **grown = aut__make_array(in->work, cap, sizeof *grown);

		if (grown == NULL)
			return false;
		if (to->count > 0)
			memcpy(grown, to->items, to->count * sizeof *grown);
		to->items = grown;
		to->cap = cap;
	}
	to->items[to->count++] = child;
	return true;
}

static aut__node *
brood_done(parser *in, aut__node *node, const brood *from)
{
	for (size_t i = 0; i < from->count; i++)
	{
		if (!node_grow(in, node, from->items[i]))
			return NULL;
	}
	node->children = from->items;
	node->count = from->count;
	return node;
}

/*
 * left, then right of what left gave.  Chains (a.b.c.d) are the longest things people write, so they
 * are one node with many children instead of a tower: the list doubles, and the old one is left to
 * the arena.
 */
static aut__node *
chain(parser *in, aut__node *left, const aut__node *right, bool index)
{
	const aut__node **grown;

	if (left == NULL || right == NULL)
		return NULL;
	/* index: of which sort the chain is; an index chain must stay recognizable */
	if (left->kind != AUT__N_SUB || (left->index != 0) != index)
	{
		left = node_over(in, AUT__N_SUB, 2, left, right, NULL);
		if (left != NULL)
			left->index = index;
		return left;
	}
	grown = left->children;
	if ((left->count & (left->count - 1)) == 0)
	{
		grown = aut__make_array(in->work, left->count * 2, sizeof *grown);
		if (grown == NULL)
			return NULL;
		memcpy(grown, left->children, left->count * sizeof *grown);
	}
	grown[left->count] = right;
	left->children = grown;
	left->count++;
	return node_grow(in, left, right) ? left : NULL;
}

/* ---- brackets -------------------------------------------------------------------------------- */

static aut__node *
slice(parser *in)
{
	aut__node *made = node_make(in, AUT__N_SLICE);
	int part = 0;

	if (made == NULL)
		return NULL;
	while (kind(in) != AUT__T_RBRACKET)
	{
		if (kind(in) == AUT__T_COLON && part < 2)
			part++;
		else if (kind(in) == AUT__T_NUMBER)
		{
			made->slice.has[part] = true;
			made->slice.part[part] = token(in)->number;
		}
		else
			return refuse(in, "']' or a part of a slice [start:stop:step]");
		advance(in);
	}
	advance(in);
	return made;
}

/* Behind '[', before a number or a colon. */
static aut__node *
index_or_slice(parser *in)
{
	aut__node *made;

	if (kind(in) == AUT__T_COLON || kind_after(in) == AUT__T_COLON)
		return slice(in);
	made = node_make(in, AUT__N_INDEX);
	if (made == NULL)
		return NULL;
	made->index = token(in)->number;
	advance(in);
	return expect(in, AUT__T_RBRACKET, "']'") ? made : NULL;
}

static aut__node *
indexed(parser *in, aut__node *left)
{
	bool in_chain = left != NULL && left->kind == AUT__N_SUB && left->index != 0;
	aut__node *right = index_or_slice(in);
	aut__node *both;

	if (right == NULL)
		return NULL;
	both = chain(in, left, right, true);
	if (right->kind != AUT__N_SLICE || in_chain || both == NULL)
		return both;
	return node_over(in, AUT__N_PROJECTION, 2, both, projection_rest(in, POWER[AUT__T_STAR]),
					 NULL);
}

/* Behind '['. */
static aut__node *
list_of(parser *in)
{
	aut__node *made = node_make(in, AUT__N_LIST);
	brood items = {0};

	if (made == NULL)
		return NULL;
	for (;;)
	{
		if (!brood_add(in, &items, expression(in, 0)))
			return NULL;
		if (kind(in) == AUT__T_RBRACKET)
			break;
		if (!expect(in, AUT__T_COMMA, "',' or ']'"))
			return NULL;
	}
	advance(in);
	return brood_done(in, made, &items);
}

/* Behind '{'. */
static aut__node *
hash_of_pairs(parser *in)
{
	aut__node *made = node_make(in, AUT__N_HASH);
	aut__list keys = {0};
	brood values = {0};

	if (made == NULL)
		return NULL;
	for (;;)
	{
		const aut__value *key = token(in)->value;

		if (kind(in) != AUT__T_NAME && kind(in) != AUT__T_QUOTED)
			return refuse(in, "a name");
		advance(in);
		if (!expect(in, AUT__T_COLON, "':'") || !aut__list_add(in->work, &keys, key) ||
			!brood_add(in, &values, expression(in, 0)))
			return NULL;
		if (kind(in) == AUT__T_RBRACE)
			break;
		if (kind(in) == AUT__T_COMMA)
			advance(in);
	}
	advance(in);
	made->keys = keys.items;
	return brood_done(in, made, &values);
}

/* ---- right sides ----------------------------------------------------------------------------- */

static aut__node *
behind_dot(parser *in, int power)
{
	if (kind(in) == AUT__T_NAME || kind(in) == AUT__T_QUOTED || kind(in) == AUT__T_STAR)
		return expression(in, power);
	if (kind(in) == AUT__T_LBRACKET)
	{
		advance(in);
		return list_of(in);
	}
	if (kind(in) == AUT__T_LBRACE)
	{
		advance(in);
		return hash_of_pairs(in);
	}
	return refuse(in, "a name, '*', '[' or '{' behind the dot");
}

/* What each element of a projection is asked. */
static aut__node *
projection_rest(parser *in, int power)
{
	if (POWER[kind(in)] < PROJECTION_STOP)
		return current(in);
	if (kind(in) == AUT__T_LBRACKET || kind(in) == AUT__T_FILTER)
		return expression(in, power);
	if (kind(in) == AUT__T_DOT)
	{
		advance(in);
		return behind_dot(in, power);
	}
	return refuse(in, "'.', '[' or the end of the projection");
}

static aut__node *
projection(parser *in, aut__node_kind node_kind, aut__node *left, aut__token_kind by)
{
	if (left == NULL)
		return NULL;
	return node_over(in, node_kind, 2, left, projection_rest(in, POWER[by]), NULL);
}

/* Behind '[?'. */
static aut__node *
filtered(parser *in, aut__node *left)
{
	aut__node *condition = left != NULL ? expression(in, 0) : NULL;
	aut__node *rest;

	if (condition == NULL || !expect(in, AUT__T_RBRACKET, "']'"))
		return NULL;
	rest = kind(in) == AUT__T_FLATTEN ? current(in) : projection_rest(in, POWER[AUT__T_FILTER]);
	return node_over(in, AUT__N_FILTER, 3, left, rest, condition);
}

static aut__node *
flattened(parser *in, aut__node *left)
{
	return projection(in, AUT__N_PROJECTION,
					  node_over(in, AUT__N_FLATTEN, 1, left, NULL, NULL), AUT__T_FLATTEN);
}

/* Behind name and '('. */
static aut__node *
call(parser *in, const aut__node *name)
{
	aut__node *made = node_make(in, AUT__N_CALL);
	brood args = {0};

	if (made == NULL)
		return NULL;
	made->at = name->at;
	made->value = name->value;
	made->function = aut__function_find(name->value->as.text, name->value->len);
	while (kind(in) != AUT__T_RPAREN)
	{
		if (!brood_add(in, &args, expression(in, 0)))
			return NULL;
		if (kind(in) == AUT__T_COMMA)
			advance(in);
	}
	advance(in);
	return brood_done(in, made, &args);
}

/* ---- expressions ----------------------------------------------------------------------------- */

static aut__node *
bracketed_first(parser *in)
{
	if (kind(in) == AUT__T_NUMBER || kind(in) == AUT__T_COLON)
		return indexed(in, current(in));
	if (kind(in) == AUT__T_STAR && kind_after(in) == AUT__T_RBRACKET)
	{
		advance(in);
		advance(in);
		return projection(in, AUT__N_PROJECTION, current(in), AUT__T_STAR);
	}
	return list_of(in);
}

static aut__node *
valued(parser *in, aut__node_kind node_kind, const aut__value *value)
{
	aut__node *made = node_make(in, node_kind);

	if (made != NULL)
		made->value = value;
	return made;
}

/* &…: the tree as a value, for sort_by and its kin. */
static aut__node *
reference(parser *in)
{
	aut__node *made = node_over(in, AUT__N_EXPREF, 1, expression(in, 0), NULL, NULL);
	aut__value *value = made != NULL ? aut__make(in->work, sizeof *value) : NULL;

	if (value == NULL)
		return NULL;
	*value = (aut__value){.kind = AUT__EXPREF, .as.expref = made->children[0]};
	made->value = value;
	return made;
}

/* What begins an expression; the token is already behind us. */
static aut__node *
first(parser *in, const aut__token *begin)
{
	aut__node *inner;

	switch ((int) begin->kind)
	{
		case AUT__T_NAME:
			return valued(in, AUT__N_FIELD, begin->value);
		case AUT__T_QUOTED:
			if (kind(in) == AUT__T_LPAREN)
				return refuse(in, "no call: a quoted name cannot be that of a function");
			return valued(in, AUT__N_FIELD, begin->value);
		case AUT__T_LITERAL:
			return valued(in, AUT__N_LITERAL, begin->value);
		case AUT__T_CURRENT:
			return current(in);
		case AUT__T_STAR:
			return projection(in, AUT__N_VALUES, current(in), AUT__T_STAR);
		case AUT__T_FILTER:
			return filtered(in, current(in));
		case AUT__T_FLATTEN:
			return flattened(in, current(in));
		case AUT__T_LBRACE:
			return hash_of_pairs(in);
		case AUT__T_LBRACKET:
			return bracketed_first(in);
		case AUT__T_LPAREN:
			inner = expression(in, 0);
			return inner != NULL && expect(in, AUT__T_RPAREN, "')'") ? inner : NULL;
		case AUT__T_NOT:
			return node_over(in, AUT__N_NOT, 1, expression(in, POWER[AUT__T_NOT]), NULL, NULL);
		case AUT__T_EXPREF:
			return reference(in);
		default:
			if (begin->kind != AUT__T_EOF)
				in->at--;
			return refuse(in, "an expression");
	}
}

/* What stands behind left; the token is already behind us. */
static aut__node *
next(parser *in, const aut__token *op, aut__node *left)
{
	aut__node *made;

	switch ((int) op->kind)
	{
		case AUT__T_DOT:
			if (kind(in) != AUT__T_STAR)
				return chain(in, left, behind_dot(in, POWER[AUT__T_DOT]), false);
			advance(in);
			return projection(in, AUT__N_VALUES, left, AUT__T_DOT);
		case AUT__T_PIPE:
			return node_over(in, AUT__N_SUB, 2, left, expression(in, POWER[AUT__T_PIPE]), NULL);
		case AUT__T_OR:
			return node_over(in, AUT__N_OR, 2, left, expression(in, POWER[AUT__T_OR]), NULL);
		case AUT__T_AND:
			return node_over(in, AUT__N_AND, 2, left, expression(in, POWER[AUT__T_AND]), NULL);
		case AUT__T_COMPARE:
			made = node_over(in, AUT__N_COMPARE, 2, left, expression(in, POWER[AUT__T_COMPARE]),
							 NULL);
			if (made != NULL)
				made->op = op->op;
			return made;
		case AUT__T_LPAREN:
			if (left->kind == AUT__N_FIELD)
				return call(in, left);
			in->at--;
			return refuse(in, "a function's name before '('");
		case AUT__T_FILTER:
			return filtered(in, left);
		case AUT__T_FLATTEN:
			return flattened(in, left);
		case AUT__T_LBRACKET:
			if (kind(in) == AUT__T_NUMBER || kind(in) == AUT__T_COLON)
				return indexed(in, left);
			if (!expect(in, AUT__T_STAR, "a number, ':' or '*'") ||
				!expect(in, AUT__T_RBRACKET, "']'"))
				return NULL;
			return projection(in, AUT__N_PROJECTION, left, AUT__T_STAR);
		default:
			in->at--;
			return refuse(in, "an operator or the end");
	}
}

static aut__node *
expression(parser *in, int power)
{
	const aut__token *begin = token(in);
	aut__node *left = NULL;

	if (in->depth >= AUT_JMESPATH_NESTING_MAX)
	{
		aut__work_fail(in->work, AUT_EINVAL, "the expression nests deeper than %d levels",
					   AUT_JMESPATH_NESTING_MAX);
		return NULL;
	}
	in->depth++;
	advance(in);
	left = first(in, begin);
	while (left != NULL && power < POWER[kind(in)])
	{
		const aut__token *op = token(in);

		advance(in);
		left = next(in, op, left);
	}
	in->depth--;
	return left;
}

const aut__node *
aut__parse(aut__work *work, const char *text, size_t len)
{
	aut__token *tokens = NULL;
	size_t count = 0;
	parser in = {.work = work, .text = text};
	aut__node *root;

	if (!aut__lex(work, text, len, &tokens, &count))
		return NULL;
	in.tokens = tokens;
	root = expression(&in, 0);
	if (root != NULL && kind(&in) != AUT__T_EOF)
		root = refuse(&in, "an operator or the end");
	aut_free(tokens);
	return root;
}
