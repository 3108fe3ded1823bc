/* SPDX-License-Identifier: MIT */
/*
 * standalone/agent.c - the command `agent`: the embedded agent as a process.
 *
 * It serves the subset of the agent-server API that runs need (docs/agent.md) until it is told to end
 * or, with --linger, until nobody has asked it anything and no command has run for that long.  When it
 * ends, running commands go on as orphans, as those of the agent server do, unless --kill-on-exit says
 * otherwise; in any case it ends within a second.
 *
 * A key is always required except on loopback with --no-key.  The key never appears in the log or in
 * the list of processes unless given by --key.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "standalone/agent.h"
#include "standalone/agent_internal.h"
#include "standalone/command.h"

#define FILES_WANTED 65536
#define KILL_WAIT_MS 500
#define KEY_MAX      1024

const char aut_agent_usage[] =
	"Usage: automation agent [options]\n"
	"\n"
	"Serve the agent API that runs need: files and shell commands, on this machine, as this user.\n"
	"\n"
	"  --host ADDRESS      numeric address to listen on (127.0.0.1)\n"
	"  --port N            port to listen on; 0, the default, takes a free one\n"
	"  --data DIR          write DIR/agent.json (url, key, pid) and hold DIR/agent.lock\n"
	"  --json-file FILE    write url, key and pid there instead\n"
	"  --key TEXT          key that clients must send; better in a file:\n"
	"  --key-file FILE     its first line is the key.  Without either a random key is made\n"
	"  --no-key            no key; only on a loopback address\n"
	"  --linger N          end N seconds after the last request and command (0: never)\n"
	"  --kill-on-exit      end running commands, too, when told to end\n"
	"  --ready-fd N        write a byte there and close it when serving\n"
	"\n"
	"For tests and benchmarks:\n"
	"  --stub              run nothing: commands end at once, files stay in memory, and the "
	"completion\n"
	"                      callback named by the run's environment file is posted\n"
	"  --stub-no-callback  the same without the callback\n"
	"  --stub-log FILE     append a JSON line per call: t_us, method, path, run_id\n"
	"  --fault RULE        OPERATION:WHAT[:COUNT], may be repeated.  OPERATION: upload, download,\n"
	"                      mkdir, start, execute, stop, search, event, health, info, any.  WHAT: "
	"a\n"
	"                      status 400-599, drop, garbage, delay=MS.  COUNT: a number or *\n"
	"\n"
	"Exit status: 0 told to end, 1 failed, 2 wrong usage, 3 another agent has DIR\n";

/* ---- options --------------------------------------------------------------------------------------------- */

/* The first line of a file. */
static char *
read_key(const char *path, aut_error *err)
{
	char line[KEY_MAX + 2];
	FILE *file = fopen(path, "re");
	char *key = NULL;

	if (file == NULL || fgets(line, sizeof line, file) == NULL)
	{
		(void) aut_fail_errno(err, AUT_EIO, errno, "cannot read the key from %s", path);
	}
	else
	{
		line[strcspn(line, "\r\n")] = '\0';
		key = aut_strdup(line);
	}
	if (file != NULL)
	{
		(void) fclose(file);
	}
	return key;
}

typedef struct option
{
	const char *name;
	bool has_value;
} option;

static const option known_options[] = {
	{"--host", true},
	{"--port", true},
	{"--data", true},
	{"--json-file", true},
	{"--key", true},
	{"--key-file", true},
	{"--no-key", false},
	{"--linger", true},
	{"--parent-linger-seconds", true},
	{"--kill-on-exit", false},
	{"--ready-fd", true},
	{"--stub", false},
	{"--stub-no-callback", false},
	{"--stub-log", true},
	{"--fault", true},
	{NULL, false},
};

static aut_status
take_option(agentd_options *options, bool *no_key, const char *name, const char *value,
			aut_error *err)
{
	aut_status status = AUT_OK;
	int64_t number = 0;

	if (strcmp(name, "--host") == 0)
	{
		options->host = value;
	}
	else if (strcmp(name, "--port") == 0)
	{
		if (!aut_int_parse(value, 0, 65535, &number))
		{
			status = aut_fail(err, AUT_EINVAL, "not a port: %.32s", value);
		}
		options->port = (uint16_t) number;
	}
	else if (strcmp(name, "--data") == 0)
	{
		options->data = value;
	}
	else if (strcmp(name, "--json-file") == 0)
	{
		options->json_file = value;
	}
	else if (strcmp(name, "--key") == 0 || strcmp(name, "--key-file") == 0)
	{
		aut_free(options->key);
		options->key = name[5] == '\0' ? aut_strdup(value) : read_key(value, err);
		if (options->key == NULL)
		{
			status = err->code != AUT_OK ? err->code : aut_fail(err, AUT_ENOMEM, "out of memory");
		}
		else if (options->key[0] == '\0' || strlen(options->key) > KEY_MAX)
		{
			status = aut_fail(err, AUT_EINVAL, "a key has 1 to %d characters", KEY_MAX);
		}
	}
	else if (strcmp(name, "--no-key") == 0)
	{
		*no_key = true;
	}
	else if (strcmp(name, "--linger") == 0 || strcmp(name, "--parent-linger-seconds") == 0)
	{
		if (!aut_int_parse(value, 0, 86400 * 365, &options->linger_s))
		{
			status = aut_fail(err, AUT_EINVAL, "not a number of seconds: %.32s", value);
		}
	}
	else if (strcmp(name, "--kill-on-exit") == 0)
	{
		options->kill_on_exit = true;
	}
	else if (strcmp(name, "--ready-fd") == 0)
	{
		if (!aut_int_parse(value, 3, 1023, &number))
		{
			status = aut_fail(err, AUT_EINVAL, "not a descriptor: %.32s", value);
		}
		options->ready_fd = (int) number;
	}
	else if (strcmp(name, "--stub") == 0 || strcmp(name, "--stub-no-callback") == 0)
	{
		options->stub = true;
		options->stub_callback = options->stub_callback && name[6] == '\0';
	}
	else if (strcmp(name, "--stub-log") == 0)
	{
		options->stub_log = value;
	}
	else if (options->fault_count == AGENTD_FAULTS_MAX)
	{
		status = aut_fail(err, AUT_EINVAL, "at most %d faults", AGENTD_FAULTS_MAX);
	}
	else
	{
		status = agentd_fault_parse(value, &options->faults[options->fault_count], err);
		options->fault_count += status == AUT_OK ? 1 : 0;
	}
	return status;
}

static bool
is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* A key of 32 random bytes when none was given. */
static aut_status
settle_key(agentd_options *options, bool no_key, aut_error *err)
{
	uint8_t bytes[32];
	char text[65] = "";
	aut_status status = AUT_OK;

	if (no_key && (options->key != NULL || !is_loopback(options->host)))
	{
		return aut_fail(err, AUT_EINVAL, "--no-key is for loopback addresses, and without a key");
	}
	if (options->key != NULL)
	{
		return AUT_OK;
	}
	if (!no_key)
	{
		status = aut_random(bytes, sizeof bytes, err);
		aut_hex(bytes, sizeof bytes, text);
	}
	if (status == AUT_OK)
	{
		options->key = aut_strdup(text);
		status = options->key != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	return status;
}

static aut_status
parse_options(int argc, char **argv, agentd_options *options, aut_error *err)
{
	bool no_key = false;
	aut_status status = AUT_OK;

	memset(options, 0, sizeof *options);
	options->host = "127.0.0.1";
	options->ready_fd = -1;
	options->stub_callback = true;
	for (int i = 1; i < argc && status == AUT_OK; i++)
	{
		const option *known = known_options;
		const char *value = NULL;

		while (known->name != NULL && strcmp(known->name, argv[i]) != 0)
		{
			known++;
		}
		if (known->name == NULL)
		{
			status = aut_fail(err, AUT_EINVAL, "unknown option %.64s", argv[i]);
		}
		else if (known->has_value && i + 1 == argc)
		{
			status = aut_fail(err, AUT_EINVAL, "%s needs a value", known->name);
		}
		else
		{
			value = known->has_value ? argv[++i] : NULL;
			status = take_option(options, &no_key, known->name, value, err);
		}
	}
	return status == AUT_OK ? settle_key(options, no_key, err) : status;
}

/* ---- life ------------------------------------------------------------------------------------------------- */

static bool
agent_step(void *payload)
{
	agentd *agent = payload;

	if (agent->log != NULL)
	{
		(void) fflush(agent->log); /* does nothing when nothing was written */
	}
	if (agent->ending && agent->store.running == 0)
	{
		aut_loop_stop(agent->loop);
	}
	return false;
}

static void
on_linger(void *payload)
{
	agentd *agent = payload;
	int64_t idle_us = aut_mono_us(aut_clock_system()) - agent->request_mono_us;
	int64_t left_us = agent->options.linger_s * AUT_US_PER_S - idle_us;

	if (agent->ending)
	{
		aut_loop_stop(agent->loop); /* --kill-on-exit: they had their time */
	}
	else if (agent->store.running == 0 && aut_http_server_active(agent->server) == 0 &&
			 left_us <= 0)
	{
		aut_loop_stop(agent->loop);
	}
	else
	{
		/* a command's end counts as activity, so while one runs a look each second is enough */
		aut_timer_set(agent->linger_timer, left_us > 0 ? left_us / AUT_US_PER_MS + 1 : 1000);
	}
}

static void
signal_all(agentd *agent, int signum)
{
	for (agentd_command *command = agent->store.running_first; command != NULL;
		 command = command->next)
	{
		if (command->pid > 0)
		{
			(void) kill(-command->pid, signum);
		}
	}
}

static void
on_signal(void *payload, int signum)
{
	agentd *agent = payload;

	(void) signum;
	aut_http_server_stop_accepting(agent->server);
	if (!agent->options.kill_on_exit || agent->store.running == 0 || agent->ending)
	{
		aut_loop_stop(agent->loop);
		return;
	}
	agent->ending = true;
	signal_all(agent, SIGTERM);
	aut_timer_set(agent->linger_timer, KILL_WAIT_MS);
}

/* Each command needs two descriptors here, each client one. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < FILES_WANTED)
	{
		limit.rlim_cur = limit.rlim_max < FILES_WANTED ? limit.rlim_max : FILES_WANTED;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
log_to_stderr(void *payload, aut_log_level level, const char *line)
{
	(void) payload;
	(void) fprintf(stderr, "automation agent: %s%s\n", level == AUT_LOG_ERROR ? "error: " : "",
				   line);
}

static aut_status
open_server(agentd *agent, aut_error *err)
{
	aut_http_server_options options = AUT_HTTP_SERVER_OPTIONS_INIT;

	options.address = agent->options.host;
	options.port = agent->options.port;
	options.body_max = AGENTD_BODY_MAX;
	options.body_limit = agentd_body_limit;
	options.connections_max = 4000;
	options.idle_timeout_s = 60;
	options.handle = agentd_handle;
	options.payload = agent;
	return aut_http_server_new(agent->loop, &options, &agent->server, err);
}

static aut_status
agent_init(agentd *agent, aut_error *err)
{
	aut_status status;

	agent->started_us = aut_now_us(aut_clock_system());
	agent->started_mono_us = aut_mono_us(aut_clock_system());
	agent->active_mono_us = agent->started_mono_us;
	agent->request_mono_us = agent->started_mono_us;
	agent->environment = agentd_environment_new();
	status = agent->environment != NULL ? AUT_OK : aut_fail(err, AUT_ENOMEM, "out of memory");
	if (status == AUT_OK)
	{
		status = agentd_store_init(&agent->store, err);
	}
	if (status == AUT_OK)
	{
		status = aut_loop_new(&agent->loop, err);
	}
	if (status == AUT_OK)
	{
		status = aut_timer_new(agent->loop, on_linger, agent, &agent->linger_timer, err);
	}
	if (status == AUT_OK)
	{
		status = aut_loop_add_step(agent->loop, agent_step, agent, err);
	}
	if (status == AUT_OK && agent->options.stub)
	{
		status = aut_http_client_new(agent->loop, NULL, &agent->client, err);
	}
	if (status == AUT_OK && agent->options.stub)
	{
		status = agentd_stub_new(agent, &agent->stub, err);
	}
	if (status == AUT_OK && agent->options.stub_log != NULL)
	{
		agent->log = fopen(agent->options.stub_log, "ae");
		status = agent->log != NULL ? AUT_OK
									: aut_fail_errno(err, AUT_EIO, errno, "cannot open %s",
													 agent->options.stub_log);
	}
	if (status == AUT_OK)
	{
		status = open_server(agent, err);
	}
	return status;
}

static void
agent_done(agentd *agent)
{
	aut_http_server_free(agent->server);
	aut_http_client_free(agent->client);
	for (agentd_command *command = agent->store.running_first; command != NULL;
		 command = command->next)
	{
		agentd_command_abandon(command, agent->options.kill_on_exit ? SIGKILL : 0);
	}
	agentd_stub_free(agent->stub);
	aut_timer_free(agent->linger_timer);
	if (agent->loop != NULL)
	{
		aut_loop_free(agent->loop);
	}
	agentd_store_done(&agent->store);
	agentd_environment_free(agent->environment);
	if (agent->log != NULL)
	{
		(void) fclose(agent->log);
	}
}

static aut_status
announce(agentd *agent, aut_error *err)
{
	const char *host = agent->options.host;
	char *url = aut_printf(strchr(host, ':') != NULL ? "http://[%s]:%u" : "http://%s:%u", host,
						   (unsigned int) aut_http_server_port(agent->server));
	aut_status status;

	if (url == NULL)
	{
		return aut_fail(err, AUT_ENOMEM, "out of memory");
	}
	status = agentd_state_write(agent, url, err);
	if (status == AUT_OK)
	{
		bool shown = agent->options.data == NULL && agent->options.json_file == NULL &&
					 agent->options.key[0] != '\0';

		(void) printf("agent at %s%s%s\n", url, shown ? ", key " : "",
					  shown ? agent->options.key : "");
		(void) fflush(stdout);
		if (agent->options.ready_fd >= 0)
		{
			(void) !write(agent->options.ready_fd, "R", 1); /* nobody waits any more: fine */
			(void) close(agent->options.ready_fd);
		}
	}
	aut_free(url);
	return status;
}

static aut_status
serve(agentd *agent, aut_error *err)
{
	aut_signal *signals[3] = {NULL, NULL, NULL};
	static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
	aut_status status = agent_init(agent, err);

	for (int i = 0; i < 3 && status == AUT_OK; i++)
	{
		status = aut_signal_new(agent->loop, numbers[i], on_signal, agent, &signals[i], err);
	}
	if (status == AUT_OK)
	{
		status = announce(agent, err);
	}
	if (status == AUT_OK)
	{
		if (agent->options.linger_s > 0)
		{
			aut_timer_set(agent->linger_timer, agent->options.linger_s * 1000);
		}
		aut_loop_run(agent->loop);
		agentd_state_remove(agent);
	}
	for (int i = 0; i < 3; i++)
	{
		aut_signal_free(signals[i]);
	}
	agent_done(agent);
	return status;
}

int
aut_cmd_agent(int argc, char **argv)
{
	agentd agent;
	aut_error err = AUT_ERROR_INIT;
	int lock_fd = -1;
	int result = AUT_COMMAND_OK;
	aut_status status;

	memset(&agent, 0, sizeof agent);
	aut_log_set(log_to_stderr, NULL, AUT_LOG_INFO);
	(void) signal(SIGPIPE, SIG_IGN);
	(void) signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not the end */
	status = parse_options(argc, argv, &agent.options, &err);
	if (status != AUT_OK)
	{
		result = AUT_COMMAND_USAGE;
		goto out;
	}
	raise_file_limit();
	if (agent.options.data != NULL)
	{
		status = agentd_lock(agent.options.data, &lock_fd, &err);
	}
	if (status == AUT_ECONFLICT)
	{
		result = AUT_AGENT_EXIT_TAKEN;
		goto out;
	}
	if (status == AUT_OK)
	{
		status = serve(&agent, &err);
	}
	if (status != AUT_OK)
	{
		result = AUT_COMMAND_FAILED;
	}

out:
	if (status != AUT_OK)
	{
		(void) fprintf(stderr, "automation: %s\n", err.message);
	}
	if (lock_fd >= 0)
	{
		(void) close(lock_fd);
	}
	aut_free(agent.options.key);
	return result;
}
