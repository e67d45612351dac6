/* Planted in front of libc: every way to another machine is refused, and written to the file that REFUSED names.
   What stays within this machine (pipes, its own names and addresses) goes through. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void record(const char *what)
{
    const char *path = getenv("REFUSED");
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0666) : -1;
    if (file < 0)
        return;
    dprintf(file, "%s %s\n", program_invocation_short_name, what);
    close(file);
}

/* 1, recorded, for an address of another machine */
static int elsewhere(const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (address == NULL)
        return 0;
    if (address->sa_family == AF_INET) {
        const struct in_addr *own = &((const struct sockaddr_in *)address)->sin_addr;
        if (ntohl(own->s_addr) >> 24 == 127 || own->s_addr == INADDR_ANY)
            return 0;
        inet_ntop(AF_INET, own, text, sizeof text);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *own = &((const struct sockaddr_in6 *)address)->sin6_addr;
        int mapped = IN6_IS_ADDR_V4MAPPED(own) && own->s6_addr[12] == 127;
        if (mapped || IN6_IS_ADDR_LOOPBACK(own) || IN6_IS_ADDR_UNSPECIFIED(own))
            return 0;
        inet_ntop(AF_INET6, own, text, sizeof text);
    } else {
        return 0;
    }
    record(text);
    errno = ECONNREFUSED;
    return 1;
}

int connect(int socket, const struct sockaddr *address, socklen_t length)
{
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return elsewhere(address) ? -1 : real(socket, address, length);
}

ssize_t sendto(int socket, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "sendto");
    return elsewhere(address) ? -1 : real(socket, data, size, flags, address, length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
    ssize_t (*real)(int, const struct msghdr *, int) = dlsym(RTLD_NEXT, "sendmsg");
    return elsewhere(message->msg_name) ? -1 : real(socket, message, flags);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    char own[256] = "", number[16];
    gethostname(own, sizeof own - 1);
    if (node == NULL || strcmp(node, "localhost") == 0 || strcmp(node, own) == 0 || inet_pton(AF_INET, node, number) ||
        inet_pton(AF_INET6, node, number))
        return real(node, service, hints, found);
    record(node);
    return EAI_FAIL;
}
