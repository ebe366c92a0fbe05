/* Load on a Unix stream socket: clients that ask, wait for the answer, and ask again.
 * usage: loadgen PROTOCOL kept|own CLIENTS SECONDS SOCKET [ARGUMENT]
 *   echo      64 bytes, answered by 1 KiB
 *   ssh       the request for the identities of an ssh-agent
 *   assuan    a greeting, then the command ARGUMENT, answered by lines up to OK (gpg-agent)
 *   keyagent  the frame ARGUMENT (hexadecimal), answered by a frame
 * kept: each client keeps its connection; own: a new one for each request.
 * Prints: requests per second, p50 µs, p99 µs, errors, bytes of a reply; tabs between. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS_MAX = 256, REQUEST_BYTES_MAX = 65536, REPLY_BYTES_MAX = 1 << 20, ERRORS_MAX = 1000 };

struct client {
    pthread_t thread;
    uint32_t *nanos;
    size_t count, room, reply_bytes, errors;
};

enum protocol { ECHO, SSH, ASSUAN, KEYAGENT };
static enum protocol protocol;
static int own_connection;
static const char *socket_path;
static unsigned char request[REQUEST_BYTES_MAX];
static size_t request_bytes;
static atomic_int started, stopped;
static struct client clients[CLIENTS_MAX];

static int64_t now_nanos(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int dial(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (connect(s, (void *)&address, sizeof address)) {
        if (errno == EAGAIN || errno == EINTR) {
            sched_yield();
            continue;
        }
        close(s);
        return -1;
    }
    return s;
}

static int send_all(int s, const unsigned char *bytes, size_t count) {
    while (count) {
        ssize_t sent = send(s, bytes, count, MSG_NOSIGNAL);
        if (sent <= 0) return -1;
        bytes += sent;
        count -= sent;
    }
    return 0;
}

/* How long the reply is as far as one can tell from its first bytes; 0: more are needed. */
static size_t reply_length(const unsigned char *b, size_t have) {
    switch (protocol) {
    case ECHO:
        return 1024;
    case SSH:
        return have < 4 ? 0 : 4 + ((size_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]);
    case KEYAGENT:
        return have < 4 ? 0 : 4 + ((size_t)b[3] << 24 | b[2] << 16 | b[1] << 8 | b[0]);
    case ASSUAN:
        if (!have || b[have - 1] != '\n') return 0;
        const unsigned char *last = b + have - 1;
        while (last > b && last[-1] != '\n') last--;
        return !memcmp(last, "OK", 2) ? have : 0;
    }
    return 0;
}

static ssize_t receive(int s, unsigned char *buffer) {
    for (size_t have = 0;;) {
        ssize_t got = recv(s, buffer + have, REPLY_BYTES_MAX - have, 0);
        if (got <= 0) return -1;
        have += got;
        size_t length = reply_length(buffer, have);
        if (length > REPLY_BYTES_MAX) return -1;
        if (length && have >= length) return length;
    }
}

static int open_connection(unsigned char *buffer) {
    int s = dial();
    if (s >= 0 && protocol == ASSUAN && receive(s, buffer) < 0) {
        close(s);
        return -1;
    }
    return s;
}

/* A refusal of keyagentd is variant 0, right after length and version. */
static int is_refusal(const unsigned char *reply) {
    return protocol == KEYAGENT && reply[6] == 0;
}

static ssize_t ask(int s, unsigned char *buffer) {
    if (s < 0 || send_all(s, request, request_bytes)) return -1;
    ssize_t got = receive(s, buffer);
    return got > 0 && is_refusal(buffer) ? -1 : got;
}

static void record(struct client *c, int64_t nanos) {
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 1 << 18;
        c->nanos = realloc(c->nanos, c->room * sizeof *c->nanos);
    }
    c->nanos[c->count++] = nanos > UINT32_MAX ? UINT32_MAX : nanos;
}

static void *drive(void *argument) {
    struct client *c = argument;
    unsigned char *buffer = malloc(REPLY_BYTES_MAX);
    int s = own_connection ? -1 : open_connection(buffer);
    while (!started) sched_yield();
    while (!stopped && c->errors < ERRORS_MAX) {
        int64_t start = now_nanos();
        if (own_connection) s = open_connection(buffer);
        ssize_t got = ask(s, buffer);
        if (own_connection && s >= 0) close(s);
        if (got < 0) {
            c->errors++;
            continue;
        }
        c->reply_bytes = got;
        record(c, now_nanos() - start);
    }
    free(buffer);
    return NULL;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void report(int client_count, double seconds) {
    size_t total = 0, errors = 0, reply_bytes = 0, have = 0;
    for (int i = 0; i < client_count; i++) total += clients[i].count;
    uint32_t *all = malloc((total + 1) * sizeof *all);
    for (int i = 0; i < client_count; i++) {
        struct client *c = &clients[i];
        if (c->count) memcpy(all + have, c->nanos, c->count * sizeof *all);
        have += c->count;
        errors += c->errors;
        if (c->reply_bytes) reply_bytes = c->reply_bytes;
    }
    qsort(all, total, sizeof *all, compare);
    double p50 = total ? all[(total - 1) / 2] / 1e3 : 0;
    double p99 = total ? all[(size_t)((total - 1) * 0.99)] / 1e3 : 0;
    printf("%.0f\t%.1f\t%.1f\t%zu\t%zu\n", total / seconds, p50, p99, errors, reply_bytes);
}

static int parse_protocol(const char *name, const char *argument) {
    static const char *names[] = {"echo", "ssh", "assuan", "keyagent"};
    int found = 0;
    while (found < 4 && strcmp(names[found], name)) found++;
    protocol = found;
    switch (protocol) {
    case ECHO:
        memset(request, 'q', request_bytes = 64);
        return 0;
    case SSH:
        memcpy(request, "\0\0\0\1\x0b", request_bytes = 5);
        return 0;
    case ASSUAN:
        request_bytes = snprintf((char *)request, sizeof request, "%s\n", argument);
        return 0;
    case KEYAGENT:
        for (const char *p = argument; p[0] && p[1] && request_bytes < sizeof request; p += 2) {
            unsigned byte;
            if (sscanf(p, "%2x", &byte) != 1) return -1;
            request[request_bytes++] = byte;
        }
        return 0;
    }
    return -1;
}

int main(int argc, char **argv) {
    if (argc < 6 || parse_protocol(argv[1], argc > 6 ? argv[6] : "")) {
        fputs("usage: loadgen PROTOCOL kept|own CLIENTS SECONDS SOCKET [ARGUMENT]\n", stderr);
        return 2;
    }
    own_connection = !strcmp(argv[2], "own");
    int client_count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    socket_path = argv[5];
    if (client_count < 1 || client_count > CLIENTS_MAX) return 2;
    for (int i = 0; i < client_count; i++)
        if (pthread_create(&clients[i].thread, NULL, drive, &clients[i])) return 1;
    usleep(100000);
    int64_t start = now_nanos();
    started = 1;
    usleep((useconds_t)(seconds * 1e6));
    stopped = 1;
    for (int i = 0; i < client_count; i++) pthread_join(clients[i].thread, NULL);
    report(client_count, (now_nanos() - start) / 1e9);
    return 0;
}
