/* SPDX-License-Identifier: MIT */
/*
 * extension/tags.c - the names of our user locks: guards, the starter's, places and actions.
 */
#include "internal.h"

#include "storage/lock.h"

/* Distinguishes our locks in the key space of user locks: databases use the same two numbers. */
#define GUARD_CLASS   0x4175 /* "Au" */
#define STARTER_CLASS 0x4176
#define ACTION_CLASS  0x4177
#define PLACE_CLASS   0x4178

/* In a guard's third field HTTP workers are numbered behind all dispatchers. */
#define HTTP_NUMBERS 1000

void
aut__guard_tag(LOCKTAG *tag, Oid database, Oid extension)
{
	aut__guard_tag_of(tag, database, extension, AUT__ROLE_MAIN, 0);
}

void
aut__guard_tag_of(LOCKTAG *tag, Oid database, Oid extension, aut__role role, int number)
{
	tag->locktag_field1 = database;
	tag->locktag_field2 = extension;
	tag->locktag_field3 = (uint32) number + (role == AUT__ROLE_HTTP ? HTTP_NUMBERS : 0);
	tag->locktag_field4 = GUARD_CLASS;
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = USER_LOCKMETHOD;
}

void
aut__starter_tag(LOCKTAG *tag, Oid database)
{
	aut__guard_tag(tag, database, InvalidOid);
	tag->locktag_field4 = STARTER_CLASS;
}

void
aut__place_tag(LOCKTAG *tag, Oid database, int number)
{
	aut__guard_tag(tag, database, (Oid) number);
	tag->locktag_field4 = PLACE_CLASS;
}

void
aut__action_tag(LOCKTAG *tag, Oid database, const aut_uuid *run)
{
	uint32 random[2];

	/* the second half of a version 7 id is random */
	memcpy(random, run->bytes + 8, sizeof(random));
	aut__guard_tag(tag, database, random[0]);
	tag->locktag_field3 = random[1];
	tag->locktag_field4 = ACTION_CLASS;
}
