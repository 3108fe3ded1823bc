/* SPDX-License-Identifier: MIT */
/*
 * extension/values.c - ids and times as the server has them.
 */
#include "door.h"

#include "datatype/timestamp.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* PostgreSQL counts from 2000-01-01. */
#define EPOCH_SHIFT_US                                                                             \
	((int64_t) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC)

Datum
aut__uuid_datum(const aut_uuid *uuid)
{
	pg_uuid_t *result = palloc(sizeof(*result));

	memcpy(result->data, uuid->bytes, sizeof(result->data));
	return UUIDPGetDatum(result);
}

Datum
aut__time_datum(int64_t time_us)
{
	return TimestampTzGetDatum(time_us - EPOCH_SHIFT_US);
}

int64_t
aut__time_of(TimestampTz time)
{
	if (TIMESTAMP_NOT_FINITE(time) || time > INT64_MAX - EPOCH_SHIFT_US)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("time out of range")));
	return time + EPOCH_SHIFT_US;
}
