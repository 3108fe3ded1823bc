-- Custom webhooks: their secrets are told once, kept sealed, and never shown.
\set VERBOSITY terse
SET client_min_messages = error;
CREATE ROLE automation_test_carol LOGIN;
CREATE ROLE automation_test_dave LOGIN;
GRANT automation_user TO automation_test_carol, automation_test_dave;
-- Without a key nothing is sealed, and the error names the setting.
SELECT automation.create_webhook('orders', 'orders');
SELECT current_setting('data_directory') || '.secret.key' AS keyfile \gset
\set make 'umask 077; cat >' :keyfile
COPY (SELECT repeat('5a', 32)) TO PROGRAM :'make';
ALTER SYSTEM SET automation.secret_key_file = :'keyfile';
SELECT pg_reload_conf();
\c - automation_test_carol
SET client_min_messages = error;
SELECT id IS NOT NULL AS has_id, secret ~ '^whsec_[A-Za-z0-9_-]{43}$' AS told FROM automation.create_webhook('orders', 'Orders');
SELECT secret IS NULL AS not_told FROM automation.create_webhook('bills', 'bills', event_key_expr => 'kind', signature_header => 'X-Sig', signature_scheme => 'slack_v0', event_id_header => 'X-Id', own_secret => 'a secret of my own');
SELECT source, name, owner, enabled, event_key_expr, signature_header, signature_scheme, event_id_header, path ~ '^/v1/events/.{36}/' AS has_path
  FROM automation.webhooks
 ORDER BY source;
\set VERBOSITY sqlstate
SELECT automation.create_webhook('again', 'ORDERS');
SELECT automation.create_webhook('x', 'github');
SELECT automation.create_webhook('x', 'ok', event_key_expr => 'a[');
SELECT automation.create_webhook(NULL, 'ok');
SELECT count(*) FROM automation.custom_webhook;
\set VERBOSITY terse
SELECT automation.alter_webhook('bills', new_name => 'invoices', signature_scheme => '', event_id_header => '', enabled => false);
SELECT name, signature_scheme, event_id_header, enabled FROM automation.webhooks WHERE source = 'bills';
SELECT automation.rotate_webhook_secret('bills') ~ '^whsec_' AS rotated;
-- Variables of automations: names are shown, values are not.
SELECT automation.create('with variables', script => 'echo', environment => '{"TOKEN": "canary-of-sql", "MODE": "fast"}') IS NOT NULL AS created;
SELECT environment::jsonb FROM automation.automations WHERE name = 'with variables';
SELECT automation.alter('with variables', environment => '{"MODE": null, "REGION": "eu"}');
SELECT environment::jsonb FROM automation.automations WHERE name = 'with variables';
SELECT automation.alter('with variables', environment => 'null');
SELECT environment IS NULL AS none FROM automation.automations WHERE name = 'with variables';
SELECT automation.alter('with variables', environment => '{"a b": "canary-of-sql"}');
-- What is another's is not there.
\c - automation_test_dave
SET client_min_messages = error;
SELECT count(*) FROM automation.webhooks;
\set VERBOSITY sqlstate
SELECT automation.alter_webhook('orders', enabled => false);
SELECT automation.rotate_webhook_secret('orders');
SELECT automation.drop_webhook('orders');
SELECT automation.drop_webhook('nothing');
\set VERBOSITY terse
-- Whoever may read the tables reads sealed bytes.
\c - postgres
SET client_min_messages = error;
SELECT source, octet_length(secret) > 37 AS sealed, position('secret' in encode(secret, 'escape')) AS in_clear FROM automation.custom_webhook ORDER BY source;
SELECT automation.drop_webhook('orders');
SELECT automation.drop_webhook('bills');
SELECT automation.drop('with variables');
DELETE FROM automation.automation WHERE name = 'with variables';
DELETE FROM automation.upload WHERE created_at = (SELECT max(created_at) FROM automation.upload);
SELECT count(*) FROM automation.custom_webhook;
ALTER SYSTEM RESET automation.secret_key_file;
SELECT pg_reload_conf();
DROP ROLE automation_test_carol, automation_test_dave;
