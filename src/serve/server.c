/* SPDX-License-Identifier: Apache-2.0 */
#include "serve/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/clock.h"
#include "engine/costs_file.h"
#include "engine/topology.h"
#include "serve/admin.h"
#include "serve/agent.h"
#include "serve/listen.h"
#include "serve/log.h"
#include "serve/notify.h"

enum { LEAVE_S = 5 }; /* for batches that run when all are to end */

struct server {
    const fby_serve_config *config; /* what it was started with */
    fby_serve_config **later;       /* (later_count): what SIGHUP brought, kept until the end */
    uint32_t later_count;
    fby_api api;
    fby_served *served; /* (model_count) */
    fby_serve_plan plan;
    fby_heap_pool *heap_pool;
    fby_crew crew;
    fby_costs *costs;     /* (served_count) */
    fby_inbox *inboxes;   /* (agents) */
    fby_agent *agents;    /* (agent_count) */
    uint32_t agent_count; /* initialised */
    fby_agent_metrics *agent_metrics;
    fby_metrics metrics;
    fby_metrics none; /* what there is to say before */
    fby_admin *admin;
    _Atomic int state; /* fby_server_state; the admin's thread reads it */
    char *cert, *key;
    uint16_t port;
    int uds; /* the first agent's listening socket, if that is a Unix socket */
    bool uds_there;
    fby_socket_place uds_place;
};

/* By a signal that has not been taken yet. */
static bool told_to_end(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* ---- models ---- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static fby_status open_model(const fby_serve_config *config, const fby_config_model *from,
                             fby_served *served)
{
    fby_isa isa;
    fby_status status = fby_isa_select(&isa);
    fby_encoder *encoder = NULL;
    if (status == FBY_OK)
        status = fby_encoder_open(from->path, isa, (fby_precision)config->precision,
                                  config->cache_dir, &encoder);
    if (status != FBY_OK)
        return status;
    *served = (fby_served){
        .name = from->name != NULL ? from->name : base_name(from->path),
        .path = from->path,
        .aliases = (const char *const *)from->aliases,
        .alias_count = from->alias_count,
        .encoder = encoder,
    };
    fby_encoder_get_info(encoder, &served->info);
    served->isa = served->info.products;
    served->precision = served->info.precision;
    return FBY_OK;
}

static fby_status open_models(struct server *server)
{
    const fby_serve_config *config = server->config;
    server->served = calloc(config->model_count, sizeof *server->served);
    if (server->served == NULL)
        return fby_error(FBY_ENOMEM, "no memory for models");
    for (uint32_t i = 0; i < config->model_count; i++) {
        fby_status status = told_to_end()
                                ? fby_error(FBY_ECANCELED, "told to end")
                                : open_model(config, &config->models[i], &server->served[i]);
        if (status != FBY_OK)
            return status;
        server->api.served_count++;
    }
    server->api.served = server->served;
    return FBY_OK;
}

/* One worker a core, as far as the quota goes. */
static uint32_t workers_that_pay(void)
{
    fby_topology topology;
    fby_placement placement;
    fby_topology_read(&topology);
    fby_placement_make(&topology, 0, 0, 0, &placement);
    return placement.workers > 0 ? placement.workers : fby_cpu_count();
}

static void make_plan(struct server *server)
{
    const fby_serve_machine machine = {workers_that_pay(), fby_memory_bytes()};
    uint32_t dim = 1;
    for (uint32_t i = 0; i < server->api.served_count; i++)
        if (server->served[i].info.dim > dim)
            dim = server->served[i].info.dim;
    server->plan = fby_serve_plan_make(server->config, &machine, dim);
}

static void describe(struct server *server)
{
    const fby_serve_config *config = server->config;
    fby_api *api = &server->api;
    api->limits = (fby_api_limits){
        .max_texts = config->max_texts,
        .max_text_bytes = SIZE_MAX, /* a body is limited */
        .max_tokens = (uint32_t)config->max_tokens,
        .max_client_batch = config->max_client_batch,
    };
    api->unknown_model_accepted = config->unknown_model_accept;
    api->token_ids_accepted = config->accept_token_ids;
    api->truncates = config->truncate;
    api->started_unix_s = (uint64_t)time(NULL);
    api->max_concurrent_requests = server->plan.connections * (uint32_t)config->agents;
    api->max_batch_tokens = (uint32_t)server->plan.batch_tokens;
    api->workers = server->plan.workers;
}

/* ---- TLS ---- */

static fby_status read_file(const char *path, char **out)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return fby_error_errno(FBY_EIO, errno, "%s", path);
    enum { MOST = 1 << 20 };
    char *text = malloc(MOST + 1);
    size_t size = text != NULL ? fread(text, 1, MOST, file) : 0;
    bool failed = text == NULL || ferror(file) || size == MOST;
    fclose(file);
    if (failed) {
        free(text);
        return fby_error(FBY_EIO, "%s: cannot be read, or has more than a megabyte", path);
    }
    text[size] = '\0';
    *out = text;
    return FBY_OK;
}

static fby_status read_tls(struct server *server)
{
    const fby_serve_config *config = server->config;
    if (config->tls_cert == NULL)
        return FBY_OK;
    fby_status status = read_file(config->tls_cert, &server->cert);
    return status == FBY_OK ? read_file(config->tls_key, &server->key) : status;
}

/* ---- what the admin port says: on its own thread ---- */

static fby_server_state state_of(struct server *server)
{
    /* M2, with M1: from then on server->metrics is there. */
    fby_server_state state =
        (fby_server_state)atomic_load_explicit(&server->state, memory_order_acquire);
    bool warming = state == FBY_SERVER_READY && !fby_crew_is_warm(&server->crew);
    return warming ? FBY_SERVER_STARTING : state;
}

/* Until the agents are there nobody can be stuck, and nothing has been counted. */
static const fby_metrics *metrics_of(const struct server *server)
{
    bool starting =
        atomic_load_explicit(&server->state, memory_order_acquire) == FBY_SERVER_STARTING; /* M2 */
    return starting ? &server->none : &server->metrics;
}

static fby_health say_live(void *context)
{
    return fby_live(metrics_of(context), fby_now_ns());
}

static fby_health say_ready(void *context)
{
    return fby_ready(metrics_of(context), state_of(context), fby_now_ns());
}

static char *say_metrics(void *context, size_t *size)
{
    return fby_metrics_written(metrics_of(context), fby_metrics_text, size);
}

static fby_status open_admin(struct server *server)
{
    const fby_serve_config *config = server->config;
    const fby_admin_source source = {server, say_live, say_ready, say_metrics};
    static const fby_api no_api;

    if (config->admin_port == 0)
        return FBY_OK;
    server->none =
        (fby_metrics){.api = &no_api, .compat = config->metrics_compat, .started_ns = fby_now_ns()};
    fby_metrics_reconfigure(&server->none, config);
    return fby_admin_open(config->admin_host, (uint16_t)config->admin_port, &source,
                          &server->admin);
}

static void set_state(struct server *server, fby_server_state state)
{
    atomic_store_explicit(&server->state, state, memory_order_release); /* M1, with M2 */
}

/* ---- start ---- */

/* What batches of each model cost: as `forebay tune` has measured, or guessed. */
static fby_status know_costs(struct server *server)
{
    const fby_serve_config *config = server->config;
    server->costs = calloc(server->api.served_count, sizeof *server->costs);
    if (server->costs == NULL)
        return fby_error(FBY_ENOMEM, "no memory for models");
    for (uint32_t i = 0; i < server->api.served_count; i++) {
        const fby_encoder_info *info = &server->served[i].info;
        if (!fby_costs_load(config->cache_dir, info->fingerprint, server->plan.workers,
                            &server->costs[i]))
            fby_costs_guess(info->flops_per_token, info->flops_per_token_pair, &server->costs[i]);
    }
    return FBY_OK;
}

/* What the crew is started with, before there is anybody. */
static fby_status describe_crew(struct server *server)
{
    const fby_serve_config *config = server->config;
    fby_isa isa;
    fby_status status = fby_isa_select(&isa);
    if (status == FBY_OK)
        status = know_costs(server);
    if (status != FBY_OK)
        return status;
    server->crew = (fby_crew){
        .served = server->served,
        .served_count = server->api.served_count,
        .kernels = fby_kernels_for(isa),
        .costs = server->costs,
        .tuner =
            {
                .strategy = FBY_STRATEGY_AUTO,
                .parallelism = (fby_parallelism)config->parallelism,
                .limits = {.workers_held = config->threads != 0,
                           .goal = (fby_goal)config->goal,
                           .target_ns = config->latency_target_ms * 1000000},
            },
        .threads = server->plan.workers,
        .batch_tokens = (uint32_t)server->plan.batch_tokens,
        .lane_slots = (uint32_t)config->ring_slots,
        .long_slots = server->plan.long_slots,
        .many_agents = config->agents > 1,
        .wait = (fby_wait)config->wait,
    };
    return FBY_OK;
}

/* Room for every worker's batch, and for large requests as far as they are to find it ready: one
 * heap, in which that is one piece once the workers have theirs. */
static fby_status make_heap_pool(struct server *server)
{
    uint32_t workers = server->crew.threads;
    uint64_t *parts = calloc(workers + 1, sizeof *parts);
    if (parts == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u workers", workers);
    for (uint32_t i = 0; i < workers; i++)
        parts[i] = fby_crew_worker_bytes(&server->crew);
    parts[workers] = server->plan.ready_bytes;
    fby_heap_pool_options options = FBY_HEAP_POOL_OPTIONS_INIT;
    options.parts = parts;
    options.part_count = workers + 1;
    options.num_heaps = 1;
    options.trace_file = getenv("FBY_HEAP_TRACE");
    fby_status status = fby_heap_pool_create(&options, &server->heap_pool);
    free(parts);
    return status;
}

static fby_status start_crew(struct server *server)
{
    server->crew.inboxes = server->inboxes;
    server->crew.heap_pool = server->heap_pool;
    return fby_crew_start(&server->crew);
}

static fby_status make_agents(struct server *server)
{
    uint32_t agents = (uint32_t)server->config->agents;
    server->inboxes = calloc(agents, sizeof *server->inboxes);
    server->agents = aligned_alloc(FBY_CACHELINE, agents * sizeof *server->agents);
    server->agent_metrics = aligned_alloc(FBY_CACHELINE, agents * sizeof *server->agent_metrics);
    if (server->inboxes == NULL || server->agents == NULL || server->agent_metrics == NULL)
        return fby_error(FBY_ENOMEM, "no memory for %u agents", agents);
    memset(server->agents, 0, agents * sizeof *server->agents);
    memset(server->agent_metrics, 0, agents * sizeof *server->agent_metrics);
    return FBY_OK;
}

static fby_status init_agent(struct server *server, fby_agent *agent, uint8_t index)
{
    const fby_serve_config *config = server->config;

    agent->index = index;
    agent->api = &server->api;
    agent->config = config;
    agent->crew = &server->crew;
    agent->all_metrics = &server->metrics;
    agent->metrics = &server->agent_metrics[index];
    agent->cert = server->cert;
    agent->key = server->key;
    agent->plan = &server->plan;
    agent->heap_pool = server->heap_pool;
    agent->max_queued = server->plan.max_queued;
    agent->listen_fd = -1;
    fby_status status = fby_agent_init(agent);
    server->inboxes[index] = (fby_inbox){agent->completions, &agent->bell};
    return status;
}

static fby_status listen_for(struct server *server, fby_agent *agent)
{
    const fby_serve_config *config = server->config;
    if (config->uds_path != NULL && agent->index > 0) { /* all accept from the first one's */
        agent->listen_fd = fcntl(server->uds, F_DUPFD_CLOEXEC, 0);
        return agent->listen_fd >= 0 ? FBY_OK
                                     : fby_error_errno(FBY_EIO, errno, "%s", config->uds_path);
    }
    if (config->uds_path != NULL) {
        fby_status status =
            fby_listen_unix(config->uds_path, &server->uds_place, &agent->listen_fd);
        server->uds = agent->listen_fd;
        server->uds_there = status == FBY_OK;
        return status;
    }
    uint16_t port = server->port != 0 ? server->port : (uint16_t)config->port;
    return fby_listen_tcp(config->host, port, config->agents > 1, &server->port, &agent->listen_fd);
}

static fby_status start(struct server *server)
{
    fby_status status = open_admin(server);
    if (status == FBY_OK)
        status = open_models(server);
    make_plan(server);
    describe(server);
    if (status == FBY_OK)
        status = read_tls(server);
    if (status == FBY_OK)
        status = describe_crew(server);
    if (status == FBY_OK)
        status = make_heap_pool(server);
    if (status == FBY_OK)
        status = make_agents(server);
    for (; status == FBY_OK && server->agent_count < server->config->agents; server->agent_count++)
        status =
            init_agent(server, &server->agents[server->agent_count], (uint8_t)server->agent_count);
    if (status == FBY_OK)
        status = start_crew(server);
    server->metrics = (fby_metrics){
        .api = &server->api,
        .compat = server->config->metrics_compat,
        .max_queued_tokens = server->config->max_queued_tokens,
        .stall_ms = server->config->stall_ms,
        .agents = server->agent_metrics,
        .agent_count = server->agent_count,
        .workers = server->crew.metrics,
        .worker_count = server->crew.threads,
        .teams = &server->crew.teams,
        .heap_pool = server->heap_pool,
        .started_ns = fby_now_ns(),
    };
    for (uint32_t i = 0; status == FBY_OK && i < server->agent_count; i++) {
        server->agents[i].kernels = server->crew.kernels;
        status = listen_for(server, &server->agents[i]);
        if (status == FBY_OK)
            status = fby_agent_start(&server->agents[i]);
    }
    if (status == FBY_OK)
        set_state(server, FBY_SERVER_READY);
    return status;
}

/* ---- end ---- */

static bool all_ended(const struct server *server)
{
    for (uint32_t i = 0; i < server->agent_count; i++)
        if (server->agents[i].started &&
            !atomic_load_explicit(&server->agents[i].ended, memory_order_acquire)) /* E2, with E1 */
            return false;
    return true;
}

/* A thread that ends the process where it does not end by itself. */
typedef struct last_resort {
    pthread_t thread;
    bool there;
    atomic_bool over; /* everything has ended */
} last_resort;

/* A batch that runs is waited for, but not without end; a further signal ends that, too. */
static void *leave_at_last(void *arg)
{
    last_resort *resort = arg;
    const struct timespec most = {.tv_sec = LEAVE_S};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigtimedwait(&set, NULL, &most);
    if (atomic_load_explicit(&resort->over, memory_order_relaxed))
        return NULL;
    fby_log_say(FBY_LOG_WARN, "leaving in the middle of a batch");
    _exit(0);
}

static void begin_leaving(last_resort *resort)
{
    atomic_init(&resort->over, false);
    resort->there = pthread_create(&resort->thread, NULL, leave_at_last, resort) == 0;
}

static void end_leaving(last_resort *resort)
{
    if (!resort->there)
        return;
    atomic_store_explicit(&resort->over, true, memory_order_relaxed);
    pthread_kill(resort->thread, SIGTERM); /* blocked there: it ends the wait */
    pthread_join(resort->thread, NULL);
}

static void stop(struct server *server)
{
    if (server->uds_there)
        fby_listen_remove(server->config->uds_path, &server->uds_place);
    last_resort resort;
    begin_leaving(&resort);
    for (uint32_t i = 0; i < server->agent_count; i++)
        if (server->agents[i].started)
            fby_agent_stop(&server->agents[i]);
    for (uint32_t i = 0; i < server->agent_count; i++)
        if (server->agents[i].started)
            pthread_join(server->agents[i].thread, NULL);
    fby_admin_close(server->admin);
    fby_crew_stop(&server->crew);
    for (uint32_t i = 0; i < server->agent_count; i++)
        fby_agent_clear(&server->agents[i]);
    fby_heap_closing closing = {.struct_size = sizeof closing};
    fby_heap_pool_close(server->heap_pool, &closing);
    if (closing.leaked > 0)
        fby_log(FBY_LOG_WARN, "memory of requests or workers was not given back",
                fby_log_uint("blocks", closing.leaked),
                fby_log_uint("bytes", closing.leaked_bytes));
    for (uint32_t i = 0; i < server->api.served_count; i++)
        fby_encoder_close((fby_encoder *)(uintptr_t)server->served[i].encoder);
    free(server->served);
    free(server->costs);
    free(server->agents);
    free(server->agent_metrics);
    free(server->inboxes);
    free(server->cert);
    free(server->key);
    for (uint32_t i = 0; i < server->later_count; i++) {
        fby_serve_config_clear(server->later[i]);
        free(server->later[i]);
    }
    free(server->later);
    end_leaving(&resort);
}

/* ---- signals ---- */

static void block_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL); /* the threads made from here on inherit it */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of its writer's */
}

/* Until all agents are done, the grace time has passed, or a second signal. */
static void drain(struct server *server, const fby_serve_config *config, const sigset_t *set)
{
    set_state(server, FBY_SERVER_DRAINING);
    for (uint32_t i = 0; i < server->agent_count; i++)
        fby_agent_drain(&server->agents[i]);
    uint64_t end_ns = fby_now_ns() + config->grace_ms * 1000000u;
    const struct timespec step = {.tv_nsec = 10000000};
    while (!all_ended(server) && fby_now_ns() < end_ns) {
        int again = sigtimedwait(set, NULL, &step);
        if (again == SIGTERM || again == SIGINT)
            return;
    }
}

/* Each note as a line of the log. */
static void say_notes(const fby_config_notes *notes)
{
    static const char warning[] = "warning: ";
    for (const char *line = notes->text; line != NULL && *line != '\0';) {
        size_t size = strcspn(line, "\n"), skip = 0;
        if (strncmp(line, warning, sizeof warning - 1) == 0)
            skip = sizeof warning - 1;
        fby_log(skip > 0 ? FBY_LOG_WARN : FBY_LOG_ERROR, "configuration",
                fby_log_bytes("note", line + skip, size - skip));
        line += size + (line[size] == '\n');
    }
}

static const fby_serve_config *latest(const struct server *server)
{
    return server->later_count > 0 ? server->later[server->later_count - 1] : server->config;
}

/* Once every agent has the latest configuration, nobody has one of those between it and the first.
 */
static void drop_superseded(struct server *server)
{
    for (uint32_t i = 0; i < server->agent_count; i++)
        if (atomic_load_explicit(&server->agents[i].taken,
                                 memory_order_acquire) != /* F4, with F3 */
            latest(server))
            return;
    for (; server->later_count > 1; server->later_count--) {
        fby_serve_config_clear(server->later[0]);
        free(server->later[0]);
        memmove(server->later, server->later + 1,
                (server->later_count - 1) * sizeof *server->later);
    }
}

/* SIGHUP. What is wrong is said, and what runs stays. */
static void reload(struct server *server)
{
    fby_serve_config *next = NULL;
    fby_config_notes notes = {0};

    drop_superseded(server);
    fby_serve_config **later =
        realloc(server->later, (server->later_count + 1) * sizeof *server->later);
    if (later == NULL)
        return;
    server->later = later;
    fby_status status = fby_serve_config_reread(latest(server), &next, &notes);
    say_notes(&notes);
    fby_config_notes_clear(&notes);
    if (status != FBY_OK) {
        fby_log(FBY_LOG_ERROR, "the configuration was not taken on",
                fby_log_text("reason", fby_last_error()));
        return;
    }
    server->later[server->later_count++] = next;
    fby_log_open(STDERR_FILENO, next->log_format, (fby_log_level)next->log_level);
    fby_metrics_reconfigure(&server->metrics, next);
    for (uint32_t i = 0; i < server->agent_count; i++)
        fby_agent_reconfigure(&server->agents[i], next);
    fby_log_say(FBY_LOG_INFO, "the configuration was read again");
}

/* What it may come to take, where that is more than it may have. */
static void check_memory(const struct server *server)
{
    uint64_t may = fby_memory_bytes(),
             wants = fby_crew_worker_bytes(&server->crew) * server->crew.threads;
    for (uint32_t i = 0; i < server->api.served_count; i++)
        wants += server->served[i].info.weight_bytes;
    wants += server->agent_count * (server->plan.pool_bytes + server->plan.large_bytes);
    if (wants > may)
        fby_log(FBY_LOG_WARN, "there may be too little memory", fby_log_uint("wants_bytes", wants),
                fby_log_uint("has_bytes", may),
                fby_log_text("lower", "threads, max_batch_tokens, pool_bytes, large_bytes"));
}

/* Of what an agent may have admitted, one text may be all. */
static void check_queue(const struct server *server)
{
    for (uint32_t i = 0; i < server->api.served_count; i++)
        if (server->served[i].info.max_tokens > server->plan.max_queued)
            fby_log(FBY_LOG_WARN,
                    "longer texts of the model are refused than max_queued_tokens has "
                    "for each agent",
                    fby_log_text("model", server->served[i].name),
                    fby_log_uint("tokens", server->plan.max_queued));
}

static void announce(const struct server *server)
{
    const fby_serve_config *config = server->config;
    char place[512];
    if (config->uds_path != NULL)
        snprintf(place, sizeof place, "unix:%s", config->uds_path);
    else
        snprintf(place, sizeof place,
                 strchr(config->host, ':') != NULL ? "%s://[%s]:%u" : "%s://%s:%u",
                 server->cert != NULL ? "https" : "http", config->host, server->port);
    fby_log(FBY_LOG_INFO, "listening", fby_log_text("at", place),
            fby_log_text("model", server->served[0].name),
            fby_log_uint("dim", server->served[0].info.dim),
            fby_log_text("isa", server->served[0].isa),
            fby_log_uint("workers", server->crew.threads));
}

/* Every worker's first batch has been run. False: told to end meanwhile. */
static bool wait_until_warm(struct server *server, const sigset_t *set)
{
    const struct timespec step = {.tv_nsec = 2000000};
    while (state_of(server) == FBY_SERVER_STARTING) {
        int got = sigtimedwait(set, NULL, &step);
        if (got == SIGTERM || got == SIGINT)
            return false;
        if (got == SIGHUP)
            reload(server);
    }
    return true;
}

int fby_serve_run(const fby_serve_config *config)
{
    struct server server = {.config = config};
    sigset_t set;

    block_signals(&set);
    fby_log_open(STDERR_FILENO, config->log_format, (fby_log_level)config->log_level);
    fby_status status = start(&server);
    if (status != FBY_OK) {
        if (status != FBY_ECANCELED)
            fby_log(FBY_LOG_ERROR, "did not start", fby_log_text("reason", fby_last_error()));
        stop(&server);
        return status == FBY_ECANCELED ? 0 : 1;
    }
    check_memory(&server);
    check_queue(&server);
    if (wait_until_warm(&server, &set)) {
        announce(&server);
        fby_notify("READY=1");
        for (int got = 0; got != SIGTERM && got != SIGINT;) {
            got = sigwaitinfo(&set, NULL);
            if (got == SIGHUP)
                reload(&server);
        }
    }
    fby_log_say(FBY_LOG_INFO, "stopping: answering what is in flight");
    fby_notify("STOPPING=1");
    drain(&server, latest(&server), &set);
    stop(&server);
    return 0;
}
