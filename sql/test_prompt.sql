-- Automations made of a prompt: what is kept, what is changed, what is refused.
\set VERBOSITY terse
SET client_min_messages = error;
SELECT automation.create_prompt('triage', 'Look at what is new.', schedule => '@daily', timezone => 'Europe/Berlin', model => 'fast') IS NOT NULL AS created;
SELECT automation.create_prompt('plugged', 'Use it.', repos => '["https://example.com/r.git"]', plugins => '[{"source": "github:acme/tools", "ref": "v1"}]', timeout => '90 s', enabled => false, description => 'd') IS NOT NULL AS created;
SELECT name, owner = current_user AS mine, state, schedule, timezone, entrypoint, timeout, description FROM automation.automations WHERE name IN ('triage', 'plugged') ORDER BY name;
SELECT name, prompt, model, setup_script_path, preset_metadata::jsonb - 'sdk_version' AS preset_metadata FROM automation.automation WHERE prompt IS NOT NULL ORDER BY name;
-- Another prompt is another tarball; the old one goes.
SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS kept, count(*) FILTER (WHERE deleted_at IS NOT NULL) AS gone FROM automation.upload WHERE name LIKE '%-automation-%';
SELECT automation.alter_prompt('triage', 'Look again.', repos => '[{"url": "acme/shop", "provider": "github"}]');
SELECT prompt, preset_metadata::jsonb - 'sdk_version' AS preset_metadata FROM automation.automation WHERE name = 'triage' AND deleted_at IS NULL;
SELECT automation.alter_prompt('triage', repos => '[]');
SELECT prompt, preset_metadata::jsonb ? 'repos' AS has_repos FROM automation.automation WHERE name = 'triage' AND deleted_at IS NULL;
SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS kept, count(*) FILTER (WHERE deleted_at IS NOT NULL) AS gone FROM automation.upload WHERE name LIKE '%-automation-%';
-- A definition belongs to its transaction.
BEGIN;
SELECT automation.alter_prompt('triage', 'never');
ROLLBACK;
SELECT prompt FROM automation.automation WHERE name = 'triage' AND deleted_at IS NULL;
-- Bad input.
\set VERBOSITY sqlstate
SELECT automation.create_prompt(NULL, 'x');
SELECT automation.create_prompt('x', NULL);
SELECT automation.create_prompt('x', '');
SELECT automation.create_prompt('x', repeat('x', 50001));
SELECT automation.create_prompt('x', 'x', timezone => 'UTC');
SELECT automation.create_prompt('x', 'x', repos => '["acme/shop"]');
SELECT automation.create_prompt('x', 'x', repos => '1');
SELECT automation.create_prompt('x', 'x', plugins => '[]');
SELECT automation.alter_prompt(NULL, 'x');
SELECT automation.alter_prompt('no such automation', 'x');
\set VERBOSITY terse
SELECT automation.create_prompt('', '', repos => '["x y"]');
SELECT automation.create('plain', script => 'x') IS NOT NULL AS created;
SELECT automation.alter_prompt('plain', repos => '["https://example.com/r.git"]');
SELECT automation.drop(name) FROM automation.automations WHERE name IN ('triage', 'plugged', 'plain');
