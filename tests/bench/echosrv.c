/* The floor of an agent: one thread, epoll; answers every 64 bytes with 1 KiB, after asking
 * the kernel who is there.
 * usage: echosrv SOCKET */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_BYTES = 64, REPLY_BYTES = 1024, DESCRIPTORS_MAX = 65536, EVENTS_MAX = 64 };

static unsigned short pending[DESCRIPTORS_MAX];
static char reply[REPLY_BYTES];

static void watch(int poll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void admit(int poll, int listener) {
    int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (s < 0) return;
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (s >= DESCRIPTORS_MAX || getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &size) ||
        peer.uid != geteuid()) {
        close(s);
        return;
    }
    pending[s] = 0;
    watch(poll, s);
}

static void answer(int s) {
    static char buffer[4096];
    ssize_t got = recv(s, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        close(s);
        return;
    }
    for (pending[s] += got; pending[s] >= REQUEST_BYTES; pending[s] -= REQUEST_BYTES)
        send(s, reply, sizeof reply, MSG_NOSIGNAL);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    for (int i = 0; i < REPLY_BYTES; i++) reply[i] = "KEY_NAME=notavalue0123456789abcd"[i & 31];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    unlink(argv[1]);
    umask(077);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1024)) {
        perror("echosrv");
        return 1;
    }
    int poll = epoll_create1(EPOLL_CLOEXEC);
    watch(poll, listener);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(poll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) admit(poll, listener);
            else answer(events[i].data.fd);
        }
    }
}
