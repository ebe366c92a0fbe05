/* The floor of a client: connects, sends 64 bytes, reads 1 KiB, adds five variables, and
 * execs. Nobody who asks an agent can do less.
 * usage: minclient SOCKET PROGRAM [ARGUMENT]...     PROGRAM is an absolute path */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64, REPLY_BYTES = 1024, VARIABLES = 5, VARIABLE_BYTES = 100 };

int main(int argc, char **argv, char **envp) {
    if (argc < 3) return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(s, (void *)&address, sizeof address)) return 3;

    char request[REQUEST_BYTES];
    memset(request, 'q', sizeof request);
    if (send(s, request, sizeof request, MSG_NOSIGNAL) != sizeof request) return 4;

    static char reply[REPLY_BYTES + 1];
    for (size_t have = 0; have < REPLY_BYTES;) {
        ssize_t got = recv(s, reply + have, REPLY_BYTES - have, 0);
        if (got <= 0) return 5;
        have += got;
    }

    int count = 0;
    while (envp[count]) count++;
    char **env = malloc((count + VARIABLES + 1) * sizeof *env);
    memcpy(env, envp, count * sizeof *env);
    for (int i = 0; i < VARIABLES; i++) {
        reply[i * VARIABLE_BYTES + 47] = 0;
        env[count + i] = reply + i * VARIABLE_BYTES;
    }
    env[count + VARIABLES] = NULL;
    execve(argv[2], argv + 2, env);
    return 127;
}
