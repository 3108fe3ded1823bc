/* SPDX-License-Identifier: MIT */
/*
 * core/api/schemas.c - the shapes of bodies, as data.
 *
 * Names, members and what is required are the contract's; members of ours are marked as additions.  A
 * shape says what is sent and read, the rules are the services': a test holds the answers of a running
 * server against these shapes, and these shapes against the contract.
 *
 * The types are words of the small language that openapi.c reads.
 */
#include "automation/event.h"
#include "core/api/api_internal.h"

/* The rows say what is not zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define NEED AUT_MEMBER_REQUIRED
#define OURS AUT_MEMBER_ADDITION
#define OLD  AUT_MEMBER_DEPRECATED
#define FROM AUT_MEMBER_FROM
#define SOME AUT_MEMBER_SOME

#define MODEL_PATTERN "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
#define TRIGGERS      "tagged @CronTrigger;@EventTrigger"

/* ---- automations ------------------------------------------------------------------------------ */

static const aut_api_member cron_trigger[] = {
	{"type", "const cron", .initial = "cron"},
	{"schedule", "string", NEED},
	{"timezone", "string", .initial = "UTC"},
	{NULL},
};

static const aut_api_member event_trigger[] = {
	{"type", "const event", .initial = "event"},
	{"source", "string", NEED},
	{"on", "either string;[string]", NEED},
	{"filter", "string?"},
	{"destination", "one-of dispatch_run,continue_conversation", .initial = "dispatch_run"},
	{"subject_key_expr", "string?"},
	{"turn_text_expr", "string?"},
	{"wake_agent", "boolean", .initial = "true"},
	{NULL},
};

static const aut_api_member template_provenance[] = {
	{"id", "string", NEED, .min = 1, .max = 100},
	{"version", "string", NEED, .min = 1, .max = 50},
	{"config", "object?"},
	{NULL},
};

static const aut_api_member plugin_source[] = {
	{"source", "string", NEED, .min = 1},
	{"ref", "string?", .min = 1},
	{"repo_path", "string?", .min = 1},
	{NULL},
};

static const aut_api_member repo_source[] = {
	{"url", "string", NEED},
	{"ref", "string?"},
	{"provider", "one-of github,gitlab,bitbucket,azure_devops?"},
	{NULL},
};

static const aut_api_member automation_create[] = {
	{"agent_profile_id", "uuid?"},
	{"name", "string", NEED, .min = 1, .max = 500},
	{"description", "string?", .max = 2000},
	{"model", "string?", .min = 1, .max = 64, .pattern = MODEL_PATTERN},
	{"trigger", TRIGGERS, NEED},
	{"observability_associations", "map string?"},
	{"tarball_path", "string", NEED},
	{"setup_script_path", "string?"},
	{"entrypoint", "string", NEED},
	{"timeout", "integer?"},
	{"keep_alive", "boolean?"},
	{"wait_at_limit", "boolean?", OURS,
	 .doc = "wait for a free sandbox where the user's number of them is used up"},
	{"enabled", "boolean", OLD, .initial = "true"},
	{"state", "@PublicAutomationState?"},
	{"template", "@TemplateProvenance?"},
	{"environment", "map string??", OURS,
	 .doc = "variables for its runs; kept sealed, never shown"},
	{NULL},
};

/* PluginSource of the SDK, which lets members pass that it does not know */
static const aut_api_member sdk_plugin_source[] = {
	{"source", "string", NEED},
	{"ref", "string?"},
	{"repo_path", "string?"},
	{NULL},
};

static const aut_api_member experiment_variant[] = {
	{"name", "string", NEED, .min = 1, .max = 100},
	{"weight", "integer", NEED | SOME},
	{"model", "string?", .min = 1, .max = 64, .pattern = MODEL_PATTERN},
	{"plugins", "[@PluginSource]", NEED | SOME},
	{NULL},
};

#define PRESET                                                                                     \
	{"prompt", "string", NEED, .min = 1, .max = 50000},                                            \
		{"model", "string?", .min = 1, .max = 64, .pattern = MODEL_PATTERN},                       \
		{"trigger", TRIGGERS, NEED}, {"observability_associations", "map string?"},                \
		{"timeout", "integer?"}, {"keep_alive", "boolean?"}, {"repos", "[@RepoSource]?"},          \
		{"wait_at_limit", "boolean?", OURS,                                                        \
		 .doc = "wait for a free sandbox where the user's number of them is used up"},             \
		{"template", "@TemplateProvenance?"}, {"enabled", "boolean", .initial = "true"},           \
		{"environment", "map string??", OURS,                                                      \
		 .doc = "variables for its runs; kept sealed, never shown"},                               \
	{                                                                                              \
		"state", "@PublicAutomationState?"                                                         \
	}

static const aut_api_member prompt_create[] = {
	{"name", "string", NEED, .min = 1, .max = 500},
	{"description", "string?", .max = 2000},
	PRESET,
	{NULL},
};

static const aut_api_member plugin_create[] = {
	{"name", "string", NEED, .min = 1, .max = 500},
	{"description", "string?", .max = 2000},
	{"plugins", "[@PluginSource]?"},
	{"variants", "[@ExperimentVariant]?"},
	{"experiment_id", "string?", .min = 1, .max = 200},
	PRESET,
	{NULL},
};

static const aut_api_member validate_request[] = {
	{"endpoint", "one-of /v1,/v1/preset/prompt,/v1/preset/plugin", NEED},
	{"draft", "object", NEED},
	{"automationId", "string?", .max = 255},
	{"sampleEvent", "object?"},
	{NULL},
};

static const aut_api_member draft_problem[] = {
	{"field", "string?", NEED},
	{"code", "string", NEED},
	{"message", "string", NEED},
	{NULL},
};

static const aut_api_member validate_reply[] = {
	{"valid", "boolean", NEED},
	{"errors", "[@DraftValidationError]"},
	{"sampleEventMatched", "boolean?"},
	{NULL},
};

static const aut_api_member cron_capabilities[] = {
	{"minIntervalSeconds", "integer", NEED},
	{"timezones", "[string]", NEED},
	{NULL},
};

static const aut_api_member event_capabilities[] = {
	{"filterLanguage", "const jmespath", .initial = "jmespath"},
	{"filterFunctions", "[string]", NEED},
	{NULL},
};

static const aut_api_member trigger_capabilities[] = {
	{"cron", "@CronCapabilities?"},
	{"event", "@EventCapabilities?"},
	{NULL},
};

static const aut_api_member capabilities[] = {
	{"ready", "boolean", NEED},
	{"maxAutomationTimeoutSeconds", "integer", NEED},
	{"triggerKinds", "[string]", NEED},
	{"eventSources", "[string]", NEED},
	{"eventTypes", "[string]", NEED},
	{"triggers", "@TriggerCapabilities", NEED},
	{"features", "[string]", NEED},
	{"repoProviders", "[string]"},
	{NULL},
};

static const aut_api_member automation_update[] = {
	{"plugin", "@UpdateAutomationPluginSource?"},
	{"agent_profile_id", "uuid?"},
	{"name", "string?", .min = 1, .max = 500},
	{"description", "string?", .max = 2000},
	{"model", "string?", .min = 1, .max = 64, .pattern = MODEL_PATTERN},
	{"prompt", "string?", .max = 50000},
	{"repos", "[@RepoSource]?"},
	{"trigger", TRIGGERS "?"},
	{"observability_associations", "map string?"},
	{"tarball_path", "string?"},
	{"setup_script_path", "string?"},
	{"entrypoint", "string?"},
	{"timeout", "integer?"},
	{"keep_alive", "boolean?"},
	{"wait_at_limit", "boolean?", OURS,
	 .doc = "wait for a free sandbox where the user's number of them is used up"},
	{"enabled", "boolean?", OLD},
	{"state", "@PublicAutomationState?"},
	{"environment", "map string??", OURS,
	 .doc = "variables that change; null takes one away, or all"},
	{NULL},
};

static const aut_api_member automation[] = {
	{"agent_profile_id", "uuid?"},
	{"id", "uuid", NEED},
	{"user_id", "uuid", NEED},
	{"org_id", "uuid", NEED},
	{"model", "string?", NEED},
	{"name", "string", NEED},
	{"description", "string?"},
	{"prompt", "string?", NEED},
	{"preset_metadata", "object?"},
	{"plugin_spec", "object?"},
	{"trigger", "object", NEED},
	{"observability_associations", "map string?"},
	{"tarball_path", "string", NEED},
	{"setup_script_path", "string?", NEED},
	{"entrypoint", "string", NEED},
	{"timeout", "integer?", NEED},
	{"keep_alive", "boolean?", NEED},
	{"wait_at_limit", "boolean", OURS,
	 .doc = "wait for a free sandbox where the user's number of them is used up"},
	{"enabled", "boolean", NEED | OLD},
	{"state", "@AutomationState", .initial = "ACTIVE"},
	{"disabled_reason", "string?"},
	{"disabled_detail", "object?"},
	{"disabled_at", "time?"},
	{"last_triggered_at", "time?", NEED},
	{"created_at", "time", NEED},
	{"updated_at", "time", NEED},
	{"next_fire_at", "time?", OURS, .doc = "null: no schedule, or paused"},
	{"environment", "[string]", OURS, .doc = "names of the variables its runs get"},
	{NULL},
};

#define NEXT_CURSOR                                                                                \
	{                                                                                              \
		"next_cursor", "string?", OURS, .doc = "cursor of the next page; null: this is the last"   \
	}
#define TOTAL                                                                                      \
	{                                                                                              \
		"total", "integer?", NEED, .doc = "null on a page that was asked for by cursor"            \
	}

static const aut_api_member automation_list[] = {
	{"automations", "[@AutomationResponse]", NEED},
	TOTAL,
	NEXT_CURSOR,
	{NULL},
};

/* ---- runs -------------------------------------------------------------------------------------- */

#define RUN                                                                                        \
	{"id", "uuid", NEED}, {"automation_id", "uuid", NEED}, {"status", "@RunStatus", NEED},         \
		{"trigger_source", "string?"}, {"error_detail", "string?", NEED},                          \
		{"status_detail", "object?"}, {"current_phase", "string?"},                                \
		{"conversation_id", "string?", NEED}, {"cost", "number?"}, {"timeout_at", "time?", NEED},  \
		{"sandbox_id", "string?", NEED}, {"bash_command_id", "string?"},                           \
		{"observability_associations", "object?"}, {"run_metadata", "object?"},                    \
		{"resolved_runtime", "object?"}, {"created_at", "time", NEED},                             \
		{"started_at", "time?", NEED}, {"completed_at", "time?", NEED},                            \
		{"exit_code", "integer?", OURS},                                                           \
		{"output_bytes", "integer", OURS, .doc = "printed so far"},                                \
		{"attempt", "integer", OURS, .doc = "how often it was taken up"},                          \
		{"scheduled_for", "time?", OURS, .doc = "the time of the schedule it was made for"},       \
		{"trigger_event_id", "uuid?", OURS, .doc = "the event that started it"},                   \
	{                                                                                              \
		"replayed", "boolean", OURS, .doc = "by matching that event again"                         \
	}

static const aut_api_member run[] = {RUN, {NULL}};

static const aut_api_member run_of_all[] = {
	RUN,
	{"automation_name", "string?", NEED | OURS},
	{NULL},
};

static const aut_api_member run_list[] = {
	{"runs", "[@AutomationRunResponse]", NEED},
	TOTAL,
	{"status_counts", "map integer"},
	NEXT_CURSOR,
	{NULL},
};

static const aut_api_member all_runs[] = {
	{"runs", "[@NamedRunResponse]", NEED | OURS},
	NEXT_CURSOR,
	{NULL},
};

static const aut_api_member run_logs[] = {
	{"run_id", "uuid", NEED | OURS},
	{"status", "@RunStatus", NEED | OURS},
	{"after", "integer", NEED | OURS, .doc = "offset in bytes of the first byte of data"},
	{"next", "integer", NEED | OURS, .doc = "pass it as after for what comes behind"},
	{"total", "integer", NEED | OURS, .doc = "bytes printed so far"},
	{"truncated", "boolean", NEED | OURS, .doc = "something before data is gone"},
	{"complete", "boolean", NEED | OURS, .doc = "the run has ended and this is the end"},
	{"data", "string", NEED | OURS},
	{NULL},
};

static const aut_api_member trigger_request[] = {
	{"input", "any", OURS, .doc = "any JSON; the run finds it as event in its payload"},
	{"dedupe_key", "string?", OURS, .min = 1, .max = 255},
	{"delay", "integer?", OURS | FROM, .max = 31536000, .doc = "seconds"},
	{NULL},
};

static const aut_api_member error_classification[] = {
	{"kind", "@FailureKind", NEED},
	{"retryable", "boolean", NEED},
	{"user_action", "one-of none,retry,settings", .initial = "none"},
	{"error_id", "string?"},
	{NULL},
};

static const aut_api_member conversation_error[] = {
	{"id", "string"},
	{"timestamp", "string"},
	{"source", "one-of agent,user,environment,hook", NEED},
	{"parent_id", "string?"},
	{"code", "string", NEED},
	{"detail", "string", NEED},
	{"classification", "@ErrorClassification?"},
	{"kind", "const ConversationErrorEvent"},
	{NULL},
};

static const aut_api_member run_complete[] = {
	{"status", "one-of COMPLETED,FAILED", NEED},
	{"run_id", "string?"},
	{"conversation_id", "string?"},
	{"error", "either string;@ConversationErrorEvent;object?"},
	{"cost", "number?"},
	{"blocking_factor", "object?"},
	{"task_outcome", "object?"},
	{NULL},
};

static const aut_api_member run_phase[] = {
	{"phase", "string", NEED, .min = 1, .max = 200},
	{NULL},
};

/* ---- uploads ----------------------------------------------------------------------------------- */

static const aut_api_member upload[] = {
	{"id", "uuid", NEED},
	{"user_id", "uuid", NEED},
	{"org_id", "uuid", NEED},
	{"name", "string", NEED},
	{"description", "string?", NEED},
	{"status", "@UploadStatus", NEED},
	{"error_message", "string?", NEED},
	{"size_bytes", "integer?", NEED},
	{"tarball_path", "string?", NEED},
	{"created_at", "string", NEED},
	{"updated_at", "string", NEED},
	{NULL},
};

static const aut_api_member upload_list[] = {
	{"uploads", "[@UploadResponse]", NEED},
	TOTAL,
	NEXT_CURSOR,
	{NULL},
};

/* ---- sandboxes ---------------------------------------------------------------------------------- */

static const aut_api_member sandbox_group[] = {
	{"state", "one-of CREATING,STARTING,READY,RELEASED,KEPT,LOST", NEED,
	 .doc = "LOST: asked for, and the answer never came; it may exist"},
	{"count", "integer", NEED},
	{"oldest_at", "time", NEED},
	{"failed_attempts", "integer", NEED, .doc = "most attempts to pause or delete one"},
	{NULL},
};

static const aut_api_member sandboxes[] = {
	{"sandboxes", "[@SandboxGroup]", NEED, .doc = "in numbers, by state"},
	{NULL},
};

/* ---- webhooks and events ----------------------------------------------------------------------- */

static const aut_api_member webhook_create[] = {
	{"name", "string", NEED, .min = 1, .max = 255},
	{"source", "string", NEED, .min = 1, .max = 50},
	{"event_key_expr", "string", .max = 500, .initial = AUT_EVENT_KEY_EXPR_DEFAULT},
	{"signature_header", "string", .max = 100, .initial = AUT_SIGNATURE_HEADER_CUSTOM},
	{"signature_scheme", "string", .max = 50, .initial = AUT_SCHEME_HMAC_HEX},
	{"event_id_header", "string?", .max = 100},
	{"webhook_secret", "string?", .min = 8, .max = 255},
	{NULL},
};

static const aut_api_member webhook_update[] = {
	{"name", "string?", .min = 1, .max = 255},
	{"event_key_expr", "string?", .max = 500},
	{"signature_header", "string?", .max = 100},
	{"signature_scheme", "string?", .max = 50},
	{"event_id_header", "string?", .max = 100},
	{"enabled", "boolean?"},
	{NULL},
};

#define WEBHOOK                                                                                    \
	{"id", "uuid", NEED}, {"org_id", "uuid", NEED}, {"name", "string", NEED},                      \
		{"source", "string", NEED}, {"webhook_url", "string", NEED},                               \
		{"event_key_expr", "string", NEED}, {"signature_header", "string", NEED},                  \
		{"signature_scheme", "string", NEED}, {"event_id_header", "string?"},                      \
		{"enabled", "boolean", NEED}, {"created_at", "time", NEED},                                \
	{                                                                                              \
		"updated_at", "time", NEED                                                                 \
	}

static const aut_api_member webhook[] = {WEBHOOK, {NULL}};
static const aut_api_member webhook_created[] = {WEBHOOK, {"webhook_secret", "string?"}, {NULL}};
static const aut_api_member webhook_secret[] = {{"webhook_secret", "string", NEED}, {NULL}};

static const aut_api_member webhook_list[] = {
	{"webhooks", "[@CustomWebhookResponse]", NEED},
	TOTAL,
	NEXT_CURSOR,
	{NULL},
};

static const aut_api_member detection_rule[] = {
	{"event_type", "string", NEED},
	{"jmespath", "string", NEED},
	{NULL},
};

static const aut_api_member requested_types[] = {
	{"source", "string", NEED},
	{"event_types", "[string]", NEED},
	{"event_detection_rules", "[@EventDetectionRule]"},
	{NULL},
};

/* ---- events ------------------------------------------------------------------------------------ */

static const aut_api_member event_answer[] = {
	{"received", "boolean", NEED},
	{"matched", "integer", NEED},
	{"runs_created", "[string]", NEED},
	{"conversations_continued", "[string]"},
	{NULL},
};

#define EVENT                                                                                      \
	{"id", "uuid", NEED | OURS}, {"org_id", "uuid", NEED | OURS},                                  \
		{"source", "string", NEED | OURS},                                                         \
		{"provider_event_id", "string?", NEED | OURS, .doc = "the provider's id of the delivery"}, \
		{"event_key", "string?", NEED | OURS}, {"state", "@EventState", NEED | OURS},              \
		{"why", "string?", NEED | OURS, .doc = "why it was ignored or is no event"},               \
		{"matched", "integer", NEED | OURS, .doc = "automations that took it"},                    \
		{"considered", "integer", NEED | OURS, .doc = "automations that were asked"},              \
	{                                                                                              \
		"received_at", "time", NEED | OURS                                                         \
	}

static const aut_api_member event[] = {EVENT, {NULL}};

static const aut_api_member event_list[] = {
	{"events", "[@EventSummary]", NEED | OURS},
	NEXT_CURSOR,
	{NULL},
};

static const aut_api_member event_verdict[] = {
	{"automation_id", "uuid", NEED | OURS},
	{"automation_name", "string?", NEED | OURS, .doc = "null: it is gone"},
	{"verdict", "one-of matched,error,filter,disabled,pattern", NEED | OURS,
	 .doc = "the first clause that stopped it"},
	{"why", "string?", NEED | OURS, .doc = "of an error"},
	{NULL},
};

static const aut_api_member event_run[] = {
	{"id", "uuid", NEED | OURS},
	{"automation_id", "uuid", NEED | OURS},
	{"status", "@RunStatus", NEED | OURS},
	{"subject_key", "string?", NEED | OURS},
	{"replayed", "boolean", NEED | OURS},
	{"created_at", "time", NEED | OURS},
	{NULL},
};

#define VERDICTS                                                                                   \
	{"verdicts", "[@EventVerdict]", NEED | OURS, .doc = "at most 100, those that matched first"},  \
	{                                                                                              \
		"verdict_counts", "map integer", NEED | OURS, .doc = "all of them"                         \
	}

static const aut_api_member event_detail[] = {
	EVENT,
	{"payload", "any", NEED | OURS, .doc = "what filters see; null when the body is no event"},
	{"body_text", "string?", NEED | OURS, .doc = "the body, when payload is null"},
	{"headers", "map string?", NEED | OURS},
	VERDICTS,
	{"runs", "[@EventRun]", NEED | OURS, .doc = "at most 100, oldest first"},
	{NULL},
};

static const aut_api_member event_replay[] = {
	{"received", "boolean", NEED | OURS},
	{"matched", "integer", NEED | OURS},
	{"runs_created", "[string]", NEED | OURS},
	{"conversations_continued", "[string]", NEED | OURS},
	{"event_id", "uuid", NEED | OURS},
	{"considered", "integer", NEED | OURS},
	VERDICTS,
	{NULL},
};

static const aut_api_member test_filter_request[] = {
	{"source", "string?", OURS, .min = 1, .max = 255, .doc = "only events of it"},
	{"on", "either string;[string]?", OURS, .doc = "patterns, as a trigger has them"},
	{"filter", "string?", OURS},
	{"limit", "integer?", OURS | FROM, .min = 1, .max = 100,
	 .doc = "newest events that are tried; 20"},
	{NULL},
};

static const aut_api_member tried_event[] = {
	{"id", "uuid", NEED | OURS},
	{"source", "string", NEED | OURS},
	{"event_key", "string?", NEED | OURS},
	{"received_at", "time", NEED | OURS},
	{"matched", "boolean", NEED | OURS},
	{"why", "string?", NEED | OURS, .doc = "why not"},
	{NULL},
};

static const aut_api_member test_filter[] = {
	{"considered", "integer", NEED | OURS},
	{"matched", "integer", NEED | OURS},
	{"truncated", "boolean", NEED | OURS, .doc = "the bodies were too long to look at all"},
	{"events", "[@TriedEvent]", NEED | OURS},
	{NULL},
};

/* ---- service and errors ------------------------------------------------------------------------ */

static const aut_api_member health[] = {{"status", "string", NEED}, {NULL}};

static const aut_api_member ready[] = {
	{"status", "one-of ready,not_ready", NEED},
	{"error", "string"},
	{NULL},
};

static const aut_api_member sdk_version[] = {{"version", "string", NEED}, {NULL}};

static const aut_api_member server_info[] = {
	{"package_version", "string", NEED, .doc = "of the contract spoken"},
	{"sdk_version", "string", NEED},
	{"engine_version", "string", NEED | OURS},
	{NULL},
};

static const aut_api_member validation_error[] = {
	{"loc", "[either string;integer]", NEED},
	{"msg", "string", NEED},
	{"type", "string", NEED},
	{"input", "any"},
	{"ctx", "object"},
	{NULL},
};

static const aut_api_member validation_errors[] = {{"detail", "[@ValidationError]"}, {NULL}};

static const aut_api_member error_response[] = {{"detail", "either string;object", NEED}, {NULL}};

/* ---- all --------------------------------------------------------------------------------------- */

static const aut_api_schema schemas[] = {
	{"AllRunsResponse", NULL, all_runs, .addition = true},
	{"AutomationListResponse", NULL, automation_list},
	{"AutomationResponse", NULL, automation},
	{"AutomationRunListResponse", NULL, run_list},
	{"AutomationRunResponse", NULL, run},
	{"AutomationState", "one-of ACTIVE,INACTIVE,DRAFT", NULL},
	{"CapabilitiesResponse", NULL, capabilities},
	{"ConversationErrorEvent", NULL, conversation_error, .closed = true},
	{"CreateAutomationRequest", NULL, automation_create, .closed = true},
	{"CreatePluginAutomationRequest", NULL, plugin_create, .closed = true},
	{"CreatePromptAutomationRequest", NULL, prompt_create, .closed = true},
	{"CronCapabilities", NULL, cron_capabilities},
	{"CronTrigger", NULL, cron_trigger, .closed = true},
	{"CustomWebhookCreate", NULL, webhook_create, .closed = true},
	{"CustomWebhookCreateResponse", NULL, webhook_created},
	{"CustomWebhookListResponse", NULL, webhook_list},
	{"CustomWebhookResponse", NULL, webhook},
	{"CustomWebhookSecretResponse", NULL, webhook_secret},
	{"CustomWebhookUpdate", NULL, webhook_update, .closed = true},
	{"DraftValidationError", NULL, draft_problem},
	{"ErrorClassification", NULL, error_classification, .closed = true},
	{"ErrorResponse", NULL, error_response, .addition = true},
	{"EventCapabilities", NULL, event_capabilities},
	{"EventDetailResponse", NULL, event_detail, .addition = true},
	{"EventDetectionRule", NULL, detection_rule},
	{"EventListResponse", NULL, event_list, .addition = true},
	{"EventResponse", NULL, event_answer},
	{"EventRun", NULL, event_run, .addition = true},
	{"EventState", "one-of MATCHED,UNMATCHED,IGNORED,UNPARSEABLE", NULL, .addition = true},
	{"EventSummary", NULL, event, .addition = true},
	{"EventTrigger", NULL, event_trigger, .closed = true},
	{"EventVerdict", NULL, event_verdict, .addition = true},
	{"ExperimentVariant", NULL, experiment_variant, .closed = true},
	{"FailureKind", "one-of auth,quota,rate_limit,config,transient,agent_action,internal,unknown",
	 NULL},
	{"HTTPValidationError", NULL, validation_errors},
	{"HealthResponse", NULL, health, .addition = true},
	{"NamedRunResponse", NULL, run_of_all, .addition = true},
	{"PluginSource", NULL, sdk_plugin_source},
	{"PublicAutomationState", "one-of ACTIVE,INACTIVE", NULL},
	{"ReadyResponse", NULL, ready, .addition = true},
	{"ReplayResponse", NULL, event_replay, .addition = true},
	{"RepoSource", NULL, repo_source, .closed = true},
	{"RequestedEventTypesResponse", NULL, requested_types},
	{"RunCompleteRequest", NULL, run_complete, .closed = true},
	{"RunLogsResponse", NULL, run_logs, .addition = true},
	{"RunPhaseRequest", NULL, run_phase, .closed = true},
	{"RunStatus", "one-of PENDING,RUNNING,COMPLETED,FAILED,CANCELLED,SKIPPED", NULL},
	{"SandboxGroup", NULL, sandbox_group, .addition = true},
	{"SandboxesResponse", NULL, sandboxes, .addition = true},
	{"SdkVersionResponse", NULL, sdk_version, .addition = true},
	{"ServerInfoResponse", NULL, server_info, .addition = true},
	{"TemplateProvenance", NULL, template_provenance, .closed = true},
	{"TestFilterRequest", NULL, test_filter_request, .closed = true, .addition = true},
	{"TestFilterResponse", NULL, test_filter, .addition = true},
	{"TriedEvent", NULL, tried_event, .addition = true},
	{"TriggerCapabilities", NULL, trigger_capabilities},
	{"TriggerRequest", NULL, trigger_request, .closed = true, .addition = true},
	{"UpdateAutomationPluginSource", NULL, plugin_source, .closed = true},
	{"UpdateAutomationRequest", NULL, automation_update, .closed = true},
	{"UploadListResponse", NULL, upload_list},
	{"UploadResponse", NULL, upload},
	{"UploadStatus", "one-of UPLOADING,COMPLETED,FAILED", NULL},
	{"ValidateDraftRequest", NULL, validate_request, .closed = true},
	{"ValidateDraftResponse", NULL, validate_reply},
	{"ValidationError", NULL, validation_error},
};

const aut_api_schema *
aut__api_schema_at(size_t index)
{
	return index < sizeof schemas / sizeof schemas[0] ? &schemas[index] : NULL;
}
