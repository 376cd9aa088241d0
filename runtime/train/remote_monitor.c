/* Logs of epochs for a server, as Keras's RemoteMonitor has Python's requests post them: a form whose one
 * field is the logs as JSON, or that JSON itself. Over plain HTTP. */
#include "runtime/tensor_io/tensor_io_impl.h"
#include "runtime/train/callbacks.h"

#include <ctype.h>
#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE = 30 }; /* seconds until a server that is silent counts as not reached */

static const char scheme[] = "http://";

/* ---- options --------------------------------------------------------------------------------- */
/* Nothing that would end the line of a request. */
static bool is_plain(const char *text, char least) {
    for (; *text; text++)
        if (*text < least || *text > '~') return false;
    return true;
}

/* "NAME:VALUE;NAME:VALUE" or nothing. */
static bool is_headers(const char *text) {
    if (!is_plain(text, ' ')) return false;
    while (*text) {
        size_t length = strcspn(text, ";"), name = strcspn(text, ":");
        if (!name || name >= length) return false;
        text += length + (text[length] == ';');
    }
    return true;
}

int kt_remote_monitor_begin(kt_remote_monitor *monitor, const kt_program *program) {
    static const char option[] = "--remote-monitor";
    const char *host = monitor->root + sizeof scheme - 1;
    if (strncmp(monitor->root, scheme, sizeof scheme - 1) != 0 || !is_plain(host, '!') || !*host ||
        *host == '/' || *host == ':')
        return kt_cli_fail(program, KT_EXIT_USAGE,
                           "%s: root must be http://HOST or http://HOST:PORT, not '%s'.", option,
                           monitor->root);
    if (!is_plain(monitor->path, '!'))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: '%s' is no path of a URL.", option, monitor->path);
    if (!is_headers(monitor->headers))
        return kt_cli_fail(program, KT_EXIT_USAGE, "%s: headers must be NAME:VALUE;NAME:VALUE, not '%s'.",
                           option, monitor->headers);
    return 0;
}

/* ---- what is sent ---------------------------------------------------------------------------- */
static void put_number(FILE *file, double value) {
    char text[KT_PYTHON_FLOAT];
    kt_python_float(value, text);
    (void)fputs(isfinite(value) ? text : isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity", file);
}

static void put_log(FILE *file, const kt_log *log) {
    (void)fputs(", ", file);
    kt_json_write_name(file, log->name);
    if (log->size) (void)fputc('[', file);
    for (size_t i = 0; i < kt_log_numbers(log->size); i++) {
        if (i) (void)fputs(", ", file);
        put_number(file, log[i].value);
    }
    if (log->size) (void)fputc(']', file);
}

/* Closes a text in memory; false: there was none for all of it. */
static bool end_text(FILE *file, char *const *text) {
    bool whole = file && !ferror(file);
    return file && fclose(file) == 0 && whole && *text;
}

/* As Python's json.dumps; false: there is no memory. */
static bool write_json(int64_t epoch, const kt_log *logs, size_t count, char **out_text) {
    size_t length;
    const kt_log **sorted = kt_logs_by_name(logs, &count);
    FILE *file = sorted ? open_memstream(out_text, &length) : NULL;
    if (file) {
        (void)fprintf(file, "{\"epoch\": %lld", (long long)epoch);
        for (size_t i = 0; i < count; i++) put_log(file, sorted[i]);
        (void)fputc('}', file);
    }
    free((void *)sorted);
    return end_text(file, out_text);
}

static void put_quoted(FILE *file, const char *text) {
    for (; *text; text++) {
        const unsigned char letter = (unsigned char)*text;
        if (letter == ' ')
            (void)fputc('+', file);
        else if (isalnum(letter) || strchr("_.-~", letter))
            (void)fputc(letter, file);
        else
            (void)fprintf(file, "%%%02X", letter);
    }
}

/* The whole request; false: there is no memory. */
static bool write_request(const kt_remote_monitor *monitor, const char *json, char **out_text,
                          size_t *out_length) {
    const char *host = monitor->root + sizeof scheme - 1, *prefix = host + strcspn(host, "/");
    char *body = NULL;
    size_t length;
    FILE *file = open_memstream(&body, &length);
    if (!file) return false;
    if (monitor->sends_json > 0) {
        (void)fputs(json, file);
    } else {
        put_quoted(file, monitor->field);
        (void)fputc('=', file);
        put_quoted(file, json);
    }
    bool written = end_text(file, &body);
    file = written ? open_memstream(out_text, out_length) : NULL;
    if (file) {
        (void)fprintf(file, "POST %s%s%s HTTP/1.1\r\nHost: %.*s\r\n",
                      *prefix || *monitor->path == '/' ? "" : "/", prefix, monitor->path,
                      (int)(prefix - host), host);
        for (const char *at = monitor->headers; *at;) {
            size_t header = strcspn(at, ";");
            (void)fprintf(file, "%.*s\r\n", (int)header, at);
            at += header + (at[header] == ';');
        }
        (void)fprintf(file, "Accept: */*\r\nConnection: close\r\nContent-Type: application/%s\r\n",
                      monitor->sends_json > 0 ? "json" : "x-www-form-urlencoded");
        (void)fprintf(file, "Content-Length: %zu\r\n\r\n%s", length, body);
        written = end_text(file, out_text);
    }
    free(body);
    return file && written;
}

/* ---- the server ------------------------------------------------------------------------------ */
/* A socket, or -1. */
static int reach(const char *host, size_t length) {
    char name[KT_CALLBACK_PATH];
    const char *port = "80";
    (void)snprintf(name, sizeof name, "%.*s", (int)length, host);
    char *start = name, *end = name + strcspn(name, ":");
    if (*name == '[') { /* an address of IPv6 */
        start = name + 1;
        end = name + strcspn(name, "]");
        if (*end) *end++ = 0;
    }
    if (*end == ':') {
        *end = 0;
        port = end + 1;
    }
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    const struct timeval patience = {.tv_sec = PATIENCE};
    struct addrinfo *found = NULL;
    int reached = -1;
    if (getaddrinfo(start, port, &wanted, &found)) return -1;
    for (const struct addrinfo *at = found; at && reached < 0; at = at->ai_next) {
        reached = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        if (reached < 0) continue;
        (void)setsockopt(reached, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        (void)setsockopt(reached, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        if (connect(reached, at->ai_addr, at->ai_addrlen) == 0) continue;
        (void)close(reached);
        reached = -1;
    }
    freeaddrinfo(found);
    return reached;
}

/* False where there is no answer; what it says does not matter, and is not waited for. */
static bool post(const kt_remote_monitor *monitor, const char *request, size_t length) {
    const char *host = monitor->root + sizeof scheme - 1;
    int server = reach(host, strcspn(host, "/"));
    char answer[4096];
    if (server < 0) return false;
    while (length) {
        const ssize_t sent = send(server, request, length, MSG_NOSIGNAL);
        if (sent <= 0) break;
        request += sent;
        length -= (size_t)sent;
    }
    bool answered = !length && recv(server, answer, sizeof answer, 0) > 0;
    (void)close(server);
    return answered;
}

static bool is_finite(const kt_log *logs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(logs[i].value)) return false;
    return true;
}

int kt_remote_monitor_epoch(const kt_remote_monitor *monitor, const kt_program *program, int64_t epoch,
                            const kt_log *logs, size_t count) {
    char *json = NULL, *request = NULL;
    size_t length = 0;
    bool written = write_json(epoch, logs, count, &json) && write_request(monitor, json, &request, &length);
    /* What is no number is no JSON to requests, which then sends nothing. */
    bool reached =
        written && (!(monitor->sends_json > 0) || is_finite(logs, count)) && post(monitor, request, length);
    free(json);
    free(request);
    if (!written) return kt_cli_fail(program, KT_EXIT_FAILED, "There is not enough memory.");
    if (!reached)
        (void)fprintf(stderr, "%s: warning: Could not reach RemoteMonitor root server at %s\n", program->name,
                      monitor->root);
    return 0;
}
