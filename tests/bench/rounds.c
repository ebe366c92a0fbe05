/* Runs every job once per round, in an order that rotates, and prints what each took: a
 * header of names, then one line of microseconds per round, separated by tabs. Jobs of one
 * round meet the same machine, so that their ratios mean something where times do not.
 * usage: rounds ROUNDS <JOBS
 * A job is a line of fields separated by tabs: name, directory, program, arguments. Its
 * output is thrown away; one that fails ends it all. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, FIELDS_MAX = 32, LINE_BYTES_MAX = 8192 };

struct job {
    char *fields[FIELDS_MAX + 1]; /* name, directory, program, arguments, NULL */
    double micros;
};

extern char **environ;
static struct job jobs[JOBS_MAX];
static int job_count;

static void read_jobs(void) {
    char line[LINE_BYTES_MAX];
    while (job_count < JOBS_MAX && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *rest = strdup(line);
        int count = 0;
        for (char *field; count < FIELDS_MAX && (field = strsep(&rest, "\t"));)
            jobs[job_count].fields[count++] = field;
        if (count >= 3) job_count++;
    }
}

static double now_micros(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double run(struct job *job, posix_spawn_file_actions_t *quiet) {
    if (chdir(job->fields[1])) {
        perror(job->fields[1]);
        exit(1);
    }
    char **argv = job->fields + 2;
    pid_t pid;
    int status;
    double start = now_micros();
    int error = posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ);
    if (!error) waitpid(pid, &status, 0);
    double micros = now_micros() - start;
    if (error || status) {
        fprintf(stderr, "rounds: %s failed: status %d\n", job->fields[0], error ? error : status);
        exit(1);
    }
    return micros;
}

static void print_row(int round) {
    for (int i = 0; i < job_count; i++) {
        if (i) putchar('\t');
        if (round < 0) fputs(jobs[i].fields[0], stdout);
        else printf("%.1f", jobs[i].micros);
    }
    putchar('\n');
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int rounds = atoi(argv[1]);
    read_jobs();
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    /* A first round, which is not printed, brings every program into memory. */
    for (int round = -1; round < rounds; round++) {
        for (int i = 0; i < job_count; i++) {
            struct job *job = &jobs[(i + round + 1) % job_count];
            job->micros = run(job, &quiet);
        }
        print_row(round);
    }
    return 0;
}
