/* SPDX-License-Identifier: MIT */
/*
 * core/base/buf.c - a byte buffer that is born with its maximum size.
 *
 * Invariants: data is NULL or has cap bytes with len < cap and data[len] == 0; len <= max; a
 * failure sticks in status and an append that failed left the content as it was.  Grows by
 * doubling, so a long series of small appends is linear.
 */
#include <stdio.h>
#include <string.h>

#include "automation/base.h"

#define FIRST_CAP 64

void
aut_buf_init(aut_buf *buf, size_t max)
{
	memset(buf, 0, sizeof *buf);
	/* one byte is kept for the NUL, so that len + 1 never overflows */
	buf->max = max < SIZE_MAX / 4 ? max : SIZE_MAX / 4;
}

void
aut_buf_done(aut_buf *buf)
{
	if (buf == NULL)
		return;
	aut_free(buf->data);
	buf->data = NULL;
	buf->len = 0;
	buf->cap = 0;
	buf->status = AUT_OK;
}

void
aut_buf_clear(aut_buf *buf)
{
	buf->len = 0;
	buf->status = AUT_OK;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

/* Make room for `more` bytes and the NUL. */
static aut_status
reserve(aut_buf *buf, size_t more)
{
	size_t need;
	size_t cap;
	char *data;

	if (buf->status != AUT_OK)
		return buf->status;
	if (more > buf->max - buf->len)
		return buf->status = AUT_ELIMIT;
	need = buf->len + more + 1;
	if (need <= buf->cap)
		return AUT_OK;
	cap = buf->cap != 0 ? buf->cap : FIRST_CAP;
	while (cap < need)
		cap *= 2;
	if (cap > buf->max + 1)
		cap = buf->max + 1;
	data = aut_realloc(buf->data, cap);
	if (data == NULL)
		return buf->status = AUT_ENOMEM;
	if (buf->data == NULL)
		data[0] = '\0';
	buf->data = data;
	buf->cap = cap;
	return AUT_OK;
}

aut_status
aut_buf_append(aut_buf *buf, const void *data, size_t len)
{
	aut_status status = reserve(buf, len);

	if (status != AUT_OK)
		return status;
	if (len != 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return AUT_OK;
}

aut_status
aut_buf_puts(aut_buf *buf, const char *text)
{
	return aut_buf_append(buf, text, strlen(text));
}

aut_status
aut_buf_putc(aut_buf *buf, char c)
{
	return aut_buf_append(buf, &c, 1);
}

aut_status
aut_buf_printf(aut_buf *buf, const char *fmt, ...)
{
	va_list args;
	aut_status status;
	size_t room;
	int len;

	if (buf->status != AUT_OK)
		return buf->status;
	room = buf->cap - buf->len;
	va_start(args, fmt);
	len = vsnprintf(room != 0 ? buf->data + buf->len : NULL, room, fmt, args);
	va_end(args);
	if (len >= 0 && (size_t) len < room && (size_t) len <= buf->max - buf->len)
	{
		buf->len += (size_t) len;
		return AUT_OK;
	}
	/* The attempt may have written a part behind len: take it back before anything can fail. */
	if (room != 0)
		buf->data[buf->len] = '\0';
	if (len < 0)
		return buf->status = AUT_EINVAL;
	status = reserve(buf, (size_t) len);
	if (status != AUT_OK)
		return status;
	va_start(args, fmt);
	(void) vsnprintf(buf->data + buf->len, (size_t) len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t) len;
	return AUT_OK;
}

char *
aut_buf_take(aut_buf *buf, size_t *out_len)
{
	char *data;

	if (buf->status == AUT_OK && buf->data == NULL)
		(void) reserve(buf, 0);
	if (buf->status != AUT_OK)
		return NULL;
	data = buf->data;
	if (out_len != NULL)
		*out_len = buf->len;
	buf->data = NULL;
	buf->len = 0;
	buf->cap = 0;
	return data;
}
