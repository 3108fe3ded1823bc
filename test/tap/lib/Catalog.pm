# SPDX-License-Identifier: MIT
# test/tap/lib/Catalog.pm - everything the extension owns in a database, as lines of text that can be
# compared: two databases with the same lines have the same extension, however it came there.
package Catalog;
use strict;
use warnings;
use Exporter 'import';
use AutomationTest;

our @EXPORT = qw(catalog);

my $members = q{SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'automation'};
my @queries = (
	# tables, views, their options, rights, owners
	qq{SELECT 'relation', c.oid::regclass, c.relkind, c.reloptions, c.relacl::text, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, c.relpersistence,
		obj_description(c.oid, 'pg_class'), CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END
		FROM ($members) m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid},
	qq{SELECT 'column', c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage, array(SELECT o FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg_attver=%'), a.attacl::text,
		pg_get_expr(b.adbin, b.adrelid), col_description(c.oid, a.attnum)
		FROM ($members) m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_attrdef b ON b.adrelid = c.oid AND b.adnum = a.attnum},
	qq{SELECT 'index', pg_get_indexdef(i.indexrelid), i.indisvalid
		FROM ($members) m JOIN pg_index i ON m.classid = 'pg_class'::regclass AND i.indrelid = m.objid},
	qq{SELECT 'constraint', x.conrelid::regclass, x.conname, pg_get_constraintdef(x.oid)
		FROM ($members) m JOIN pg_constraint x ON m.classid = 'pg_class'::regclass AND x.conrelid = m.objid},
	qq{SELECT 'policy', p.polrelid::regclass, p.polname, p.polcmd, p.polroles::regrole[], pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
		FROM ($members) m JOIN pg_policy p ON m.classid = 'pg_class'::regclass AND p.polrelid = m.objid},
	qq{SELECT 'trigger', t.tgrelid::regclass, pg_get_triggerdef(t.oid)
		FROM ($members) m JOIN pg_trigger t ON m.classid = 'pg_class'::regclass AND t.tgrelid = m.objid AND NOT t.tgisinternal},
	qq{SELECT 'function', pg_get_functiondef(p.oid), p.proacl::text, p.proowner::regrole, obj_description(p.oid, 'pg_proc')
		FROM ($members) m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid},
	qq{SELECT 'other', pg_describe_object(m.classid, m.objid, 0) FROM ($members) m WHERE m.classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass)},
	q{SELECT 'schema', nspacl::text, obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'automation'},
	q{SELECT 'dumped', c.oid::regclass, t.condition FROM pg_extension e, unnest(e.extconfig, e.extcondition) AS t(relation, condition) JOIN pg_class c ON c.oid = t.relation WHERE e.extname = 'automation'},
);

# The lines of a database, sorted.
sub catalog
{
	my ($db) = @_;
	my @lines = map { split /\x1e/, psql("SET search_path = pg_catalog; SELECT string_agg(line, E'\\x1e') FROM (SELECT row_to_json(q)::text AS line FROM ($_) q) l", db => $db) } @queries;
	return [sort @lines];
}

1;
