-- Names and payloads nobody should give.
\set VERBOSITY terse
SET client_min_messages = error;
SELECT automation.create($n$Robert'); DROP TABLE automation.run; --$n$, script => $s$echo 'a' "b" `c` $d \$s$) IS NOT NULL AS created;
SELECT automation.trigger($n$Robert'); DROP TABLE automation.run; --$n$) IS NOT NULL AS triggered;
SELECT automation.create(E'tab\tnewline\n\\ backslash', script => 'echo') IS NOT NULL AS created;
SELECT automation.create('日本語 🚀', script => 'echo 🚀') IS NOT NULL AS created;
SELECT name FROM automation.automations WHERE name LIKE '日本語%';
SELECT automation.create('payloads', script => 'echo') IS NOT NULL AS created;
-- JSON values of every kind.
SELECT count(automation.trigger('payloads', v)) FROM unnest(ARRAY['null', '1', '-0.5e-3', '"text"', '[]', '{}', '9223372036854775807', '{"a": "\u00e9\n"}']::jsonb[]) v;
-- A megabyte of text is a payload; what the payload may not be is told.
SELECT automation.trigger('payloads', to_jsonb(repeat('x', 1000000))) IS NOT NULL AS triggered;
-- Numbers that do not fit, and deeper nesting than core reads.
\set VERBOSITY sqlstate
SELECT automation.trigger('payloads', '12345678901234567890123456789');
-- A payload of exactly 1 MiB, one byte more, the largest jsonb there is, and one byte more than that.
SELECT automation.trigger('payloads', to_jsonb(repeat('x', 1048576 - 2))) IS NOT NULL AS triggered;
SELECT automation.trigger('payloads', to_jsonb(repeat('x', 1048576 - 1)));
SELECT automation.trigger('payloads', to_jsonb(repeat('x', 268435447)));
SELECT automation.trigger('payloads', to_jsonb(repeat('x', 268435448)));
SELECT automation.trigger('payloads', '1e400');
SELECT automation.trigger('payloads', (repeat('[', 1000) || repeat(']', 1000))::jsonb);
SELECT automation.trigger('payloads', '{"a": "\u0000"}');
SELECT automation.create('nul' || chr(0), script => 'echo');
SELECT automation.create(E'\xff', script => 'echo');
\set VERBOSITY terse
-- What is there is whole.
SELECT count(*) > 0 AS runs FROM automation.runs;
SELECT count(automation.drop(id::text)) FROM automation.automations WHERE name IN ('payloads', '日本語 🚀');
