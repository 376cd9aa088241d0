/* usage: event_dump FILE | FILE.xplane.pb
 * Checks both CRCs of every record of a TensorBoard event file and prints a line an event: "version TEXT" or
 * "STEP TAG VALUE …": a scalar, the numbers of a histogram, the pixels of pictures, or the text of a graph.
 * It reads what it needs of Event, Summary, TensorProto and PNG, and refuses other plugins. Of a profile it
 * prints a line an event, "THREAD|NAME|SHOWN|BEGIN|END|STAT=VALUE|…", times in nanoseconds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "event_dump: %s\n", what);
    exit(1);
}

/* ---- records
 * -----------------------------------------------------------------------------------------------
 */
/* CRC-32C (RFC 3720, appendix B.4), by a table. */
static uint32_t crc(const uint8_t *bytes, size_t count) {
    uint32_t table[256], value = 0xFFFFFFFF;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82F63B78 : table[i] >> 1;
    }
    for (size_t i = 0; i < count; i++) value = value >> 8 ^ table[(value ^ bytes[i]) & 0xFF];
    return ~value;
}

static uint64_t little(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    for (int i = count; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

static void check(const uint8_t *bytes, size_t count, const uint8_t *masked) {
    uint32_t rotated = (uint32_t)little(masked, 4) - 0xA282EAD8;
    if ((rotated >> 17 | rotated << 15) != crc(bytes, count)) fail("a CRC is wrong");
}

/* ---- messages
 * ----------------------------------------------------------------------------------------------
 */
typedef struct part {
    const uint8_t *at, *end;
} part;

static uint64_t varint(part *p) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && p->at < p->end; shift += 7) {
        uint8_t byte = *p->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return value;
    }
    fail("a varint does not end");
}

/* The next field; false at the end. out: its bytes; out_number: of a varint. */
static int next(part *p, unsigned *out_field, part *out, uint64_t *out_number) {
    if (p->at == p->end) return 0;
    uint64_t key = varint(p), count = 0;
    *out = (part){p->at, p->at};
    *out_number = 0;
    *out_field = (unsigned)(key >> 3);
    switch (key & 7) {
    case 0: *out_number = varint(p); return 1;
    case 1: count = 8; break;
    case 2: count = varint(p); break;
    case 5: count = 4; break;
    default: fail("there is no such type of field");
    }
    if (count > (uint64_t)(p->end - p->at)) fail("a field is longer than what it is in");
    *out = (part){p->at, p->at + count};
    p->at += count;
    return 1;
}

/* The part of a field of a message; empty where it is not there. */
static part find(part message, unsigned field) {
    part found = {0}, bytes;
    unsigned number;
    uint64_t ignored;
    while (next(&message, &number, &bytes, &ignored))
        if (number == field) found = bytes;
    return found;
}

/* ---- pictures
 * ----------------------------------------------------------------------------------------------
 */
static uint32_t big(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* What a filter of PNG adds to a byte: its neighbours are left, above, and above left. */
static int predict(int filter, int left, int above, int corner) {
    int estimate = left + above - corner;
    int a = abs(estimate - left), b = abs(estimate - above), c = abs(estimate - corner);
    switch (filter) {
    case 0: return 0;
    case 1: return left;
    case 2: return above;
    case 3: return (left + above) / 2;
    case 4: return a <= b && a <= c ? left : b <= c ? above : corner;
    default: fail("there is no such filter");
    }
}

/* Width, height, colours and pixels of a PNG file of bytes. */
static void print_picture(part file) {
    static uint8_t packed[1 << 16], rows[1 << 16];
    static const int channels_of[7] = {[0] = 1, [2] = 3, [6] = 4};
    size_t packed_count = 0;
    uint32_t width = 0, height = 0, channels = 0, ends = 0;
    if (file.end - file.at < 8 || memcmp(file.at, "\x89PNG\r\n\x1a\n", 8) != 0)
        fail("a picture is no PNG file");
    for (file.at += 8; file.at < file.end;) {
        uint32_t length = file.end - file.at < 12 ? UINT32_MAX : big(file.at);
        if (length > (size_t)(file.end - file.at - 12)) fail("a chunk is cut off");
        const uint8_t *name = file.at + 4, *content = name + 4;
        if (big(content + length) != crc32(0, name, length + 4)) fail("a chunk's CRC is wrong");
        if (memcmp(name, "IHDR", 4) == 0 && length == 13 && content[8] == 8 && content[9] <= 6) {
            width = big(content);
            height = big(content + 4);
            channels = (uint32_t)channels_of[content[9]];
        } else if (memcmp(name, "IDAT", 4) == 0 && length <= sizeof packed - packed_count) {
            memcpy(packed + packed_count, content, length);
            packed_count += length;
        }
        ends = memcmp(name, "IEND", 4) == 0;
        file.at = content + length + 4;
    }
    uLongf count = sizeof rows;
    size_t row = (size_t)width * channels + 1;
    if (!ends || uncompress(rows, &count, packed, packed_count) != Z_OK || count != row * height)
        fail("a picture is damaged");
    printf(" %ux%ux%u", width, height, channels);
    for (size_t y = 0; y < height; y++)
        for (size_t x = 1; x < row; x++) {
            uint8_t *at = rows + y * row + x, filter = rows[y * row];
            int left = x > channels ? at[-(int)channels] : 0, above = y ? at[-(int)row] : 0;
            *at = (uint8_t)(*at +
                            predict(filter, left, above, y && x > channels ? at[-(int)(row + channels)] : 0));
            printf(" %d", *at);
        }
}

/* The texts of a tensor: of pictures the first two are width and height. */
static void print_texts(part tensor, int pictures) {
    part text;
    unsigned field;
    uint64_t ignored;
    for (int i = 0; next(&tensor, &field, &text, &ignored);) {
        if (field != 8) continue;
        if (pictures && i++ > 1)
            print_picture(text);
        else
            printf(" %.*s", (int)(text.end - text.at), (const char *)text.at);
    }
    printf("\n");
}

static int is(part text, const char *expected) {
    size_t length = strlen(expected);
    return (size_t)(text.end - text.at) == length && memcmp(text.at, expected, length) == 0;
}

static void print_event(part event) {
    part bytes, version = find(event, 3), value = find(find(event, 5), 1), tag = find(value, 1);
    part plugin = find(find(find(value, 9), 1), 1), content = find(find(value, 8), 4);
    uint64_t step = 0, number = 0;
    unsigned field;
    for (part rest = event; next(&rest, &field, &bytes, &number);)
        if (field == 2) step = number;
    if (find(event, 1).end - find(event, 1).at != 8) fail("an event has no time");
    if (version.at) {
        printf("version %.*s\n", (int)(version.end - version.at), (const char *)version.at);
        return;
    }
    printf("%llu %.*s", (unsigned long long)step, (int)(tag.end - tag.at), (const char *)tag.at);
    if (is(plugin, "images") || is(plugin, "graph_keras_model")) {
        if (is(plugin, "graph_keras_model") != is(find(find(find(value, 9), 1), 2), "1"))
            fail("a plugin's version is wrong");
        print_texts(find(value, 8), is(plugin, "images"));
        return;
    }
    if (is(plugin, "histograms")) {
        if (content.end - content.at != 30 * 3 * 8) fail("a histogram has not 30 buckets");
        for (double bucket; content.at < content.end; content.at += sizeof bucket) {
            uint64_t bits = little(content.at, sizeof bucket);
            memcpy(&bucket, &bits, sizeof bucket);
            printf(" %.6g", bucket);
        }
        printf("\n");
        return;
    }
    if (!is(plugin, "scalars")) fail("an event is no scalar");
    if (content.end - content.at != 4) fail("a scalar has not 4 bytes");
    uint32_t bits = (uint32_t)little(content.at, 4);
    float scalar;
    memcpy(&scalar, &bits, sizeof scalar);
    printf(" %.9g\n", (double)scalar);
}

/* ---- profiles -------------------------------------------------------------------------------- */
/* The number in a field of a message, which is there, or is 0. */
static uint64_t find_number(part message, unsigned field) {
    part bytes;
    unsigned number;
    uint64_t found = 0, value;
    while (next(&message, &number, &bytes, &value))
        if (number == field) found = value;
    return found;
}

/* What has that number in one of the plane's maps of metadata. */
static part find_metadata(part plane, unsigned map, uint64_t id) {
    part entry;
    unsigned field;
    uint64_t ignored;
    while (next(&plane, &field, &entry, &ignored)) {
        if (field != map || find_number(entry, 1) != id) continue;
        if (find_number(find(entry, 2), 1) != id) fail("metadata have two numbers");
        return find(entry, 2);
    }
    fail("an event has no metadata");
}

static void print_bytes(part bytes) { printf("%.*s", (int)(bytes.end - bytes.at), (const char *)bytes.at); }

static void print_timed(part plane, part thread, part event) {
    enum { EVENTS = 4, STATS = 5, REFERENCE = 7, PICOSECONDS = 1000 };
    const part metadata = find_metadata(plane, EVENTS, find_number(event, 1));
    const uint64_t begin = find_number(event, 2), duration = find_number(event, 3);
    print_bytes(thread);
    printf("|");
    print_bytes(find(metadata, 2));
    printf("|");
    print_bytes(find(metadata, 4));
    printf("|%llu|%llu", (unsigned long long)begin / PICOSECONDS,
           (unsigned long long)(begin + duration) / PICOSECONDS);
    part stat;
    unsigned field;
    uint64_t ignored;
    while (next(&event, &field, &stat, &ignored)) {
        if (field != 4) continue;
        const uint64_t reference = find_number(stat, REFERENCE);
        printf("|");
        print_bytes(find(find_metadata(plane, STATS, find_number(stat, 1)), 2));
        printf("=");
        if (reference)
            print_bytes(find(find_metadata(plane, STATS, reference), 2));
        else
            printf("%llu", (unsigned long long)find_number(stat, 4));
    }
    printf("\n");
}

static void print_profile(part space) {
    part plane = find(space, 1), rest = plane, line, event;
    unsigned field;
    uint64_t ignored;
    if (!is(find(plane, 2), "/host:CPU")) fail("a profile is of another device");
    while (next(&rest, &field, &line, &ignored)) {
        if (field != 3) continue;
        const part thread = find(line, 2);
        while (next(&line, &field, &event, &ignored))
            if (field == 4) print_timed(plane, thread, event);
    }
}

int main(int argc, char **argv) {
    static uint8_t bytes[1 << 20];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) fail("usage: event_dump FILE | FILE.xplane.pb");
    size_t count = fread(bytes, 1, sizeof bytes, file), at = 0;
    (void)fclose(file);
    if (strstr(argv[1], ".xplane.pb")) {
        print_profile((part){bytes, bytes + count});
        return 0;
    }
    while (at < count) {
        if (count - at < 16) fail("a record is cut off");
        uint64_t length = little(bytes + at, 8);
        check(bytes + at, 8, bytes + at + 8);
        if (length > count - at - 16) fail("a record is cut off");
        check(bytes + at + 12, length, bytes + at + 12 + length);
        print_event((part){bytes + at + 12, bytes + at + 12 + length});
        at += 16 + length;
    }
    return 0;
}
