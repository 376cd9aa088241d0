/* http_sink COUNT FILE: a server that writes the first lines, the Content-Type, the headers that begin with
 * X- and the bodies of COUNT requests into FILE. Its port is the first line that it prints. */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE = 65536 };

/* 0, or 1: the request is none. */
static int serve(FILE *request, FILE *file) {
    static char line[LINE];
    size_t length = 0;
    bool first = true;
    while (fgets(line, LINE, request)) {
        line[strcspn(line, "\r\n")] = 0;
        if (!*line) {
            if (length >= LINE || fread(line, 1, length, request) != length) return 1;
            line[length] = 0;
            return fprintf(file, "%s\n", line) < 0 || fflush(file);
        }
        if (strncasecmp(line, "Content-Length:", 15) == 0) length = strtoul(line + 15, NULL, 10);
        if (first || strncasecmp(line, "Content-Type:", 13) == 0 || strncasecmp(line, "X-", 2) == 0)
            (void)fprintf(file, "%s\n", line);
        first = false;
    }
    return 1;
}

/* Answers count requests; 0, or 1. */
static int answer(int listening, long count, FILE *file) {
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    int failed = 0;
    while (count-- > 0 && !failed) {
        int connection = accept(listening, NULL, NULL);
        if (connection < 0) return 1;
        FILE *request = fdopen(connection, "r");
        if (!request) return close(connection) || 1;
        failed = serve(request, file) || send(connection, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0;
        (void)fclose(request);
    }
    return failed;
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc != 3 || listening < 0 || bind(listening, (struct sockaddr *)&address, size) ||
        listen(listening, 1) || getsockname(listening, (struct sockaddr *)&address, &size))
        return 1;
    FILE *file = fopen(argv[2], "we");
    if (!file) return 1;
    printf("%d\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    int failed = answer(listening, strtol(argv[1], NULL, 10), file);
    return fclose(file) || failed;
}
