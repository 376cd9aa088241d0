/* Archives that no program writes: zip64 where nothing needs it, and members that lie about where they
 * are, how large they are and what they are called. Two readers may see two models in such a file, so each is
 * refused by one sentence. */
#include "frontend/keras/keras_impl.h"
#include "kt_cmocka.h"

#include <zlib.h>

/* A member, stored: what its header and its entry in the directory say. What is 0 is as it should be. */
typedef struct member {
    const char *name, *text;
    size_t count;           /* bytes of text, where it is not a string */
    const char *local_name; /* in the header */
    uint64_t packed, whole; /* sizes in the directory */
    uint64_t local_packed;  /* and in the header */
    uint32_t crc, local_crc;
    int header_of;        /* the entry is of member header_of - 1; nothing is written for this one */
    uint64_t moved;       /* the entry points so far behind the header */
    bool zip64, deflated; /* sizes and place stand in extra fields */
} member;

typedef struct archive_end {
    bool zip64;
    uint64_t entries, directory; /* in the end record, instead of the true ones */
    uint64_t record;             /* where the locator says that the zip64 record is */
} archive_end;

typedef struct writer {
    kt_arena *arena;
    uint8_t bytes[4096];
    size_t count;
} writer;

static void put(writer *w, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) w->bytes[w->count++] = (uint8_t)(i < 8 ? value >> 8 * i : 0);
}

static void put_text(writer *w, const char *text, size_t count) {
    memcpy(w->bytes + w->count, text, count);
    w->count += count;
}

static uint64_t or_else(uint64_t value, uint64_t otherwise) { return value ? value : otherwise; }

static size_t size_of(const member *m) { return m->count ? m->count : strlen(m->text); }

static uint32_t crc_of(const member *m) {
    return (uint32_t)crc32(0, (const uint8_t *)m->text, (unsigned)size_of(m));
}

/* From the version needed to the extra field's length; sizes are all ones where the extra field has them. */
static void put_common(writer *w, const member *m, const char *name, uint32_t crc, uint64_t packed,
                       uint64_t whole, int extra) {
    put(w, m->zip64 ? 45 : 20, 2);
    put(w, 0, 2);
    put(w, m->deflated ? 8 : 0, 2);
    put(w, 0, 4);
    put(w, crc, 4);
    put(w, m->zip64 ? UINT32_MAX : packed, 4);
    put(w, m->zip64 ? UINT32_MAX : whole, 4);
    put(w, strlen(name), 2);
    put(w, m->zip64 ? (uint64_t)extra : 0, 2);
}

static void put_header(writer *w, const member *m) {
    const char *name = m->local_name ? m->local_name : m->name;
    const uint64_t size = or_else(m->local_packed, size_of(m));
    put_text(w, "PK\3\4", 4);
    put_common(w, m, name, (uint32_t)or_else(m->local_crc, crc_of(m)), size, size, 20);
    put_text(w, name, strlen(name));
    if (m->zip64) {
        put(w, 1, 2);
        put(w, 16, 2);
        put(w, size, 8);
        put(w, size, 8);
    }
    put_text(w, m->text, size_of(m));
}

static void put_entry(writer *w, const member *m, uint64_t place) {
    const uint64_t packed = or_else(m->packed, size_of(m)), whole = or_else(m->whole, packed);
    put_text(w, "PK\1\2", 4);
    put(w, 45, 2);
    put_common(w, m, m->name, (uint32_t)or_else(m->crc, crc_of(m)), packed, whole, 28);
    put(w, 0, 2 + 2 + 2 + 4);
    put(w, m->zip64 ? UINT32_MAX : place, 4);
    put_text(w, m->name, strlen(m->name));
    if (!m->zip64) return;
    put(w, 1, 2);
    put(w, 24, 2);
    put(w, whole, 8);
    put(w, packed, 8);
    put(w, place, 8);
}

static void put_end(writer *w, uint64_t entries, uint64_t directory, const archive_end *end) {
    const uint64_t record = w->count, size = w->count - directory;
    entries = or_else(end->entries, entries);
    directory = or_else(end->directory, directory);
    if (end->zip64) {
        put_text(w, "PK\6\6", 4);
        put(w, 44, 8);
        put(w, 45, 2);
        put(w, 45, 2);
        put(w, 0, 4 + 4);
        put(w, entries, 8);
        put(w, entries, 8);
        put(w, size, 8);
        put(w, directory, 8);
        put_text(w, "PK\6\7", 4);
        put(w, 0, 4);
        put(w, or_else(end->record, record), 8);
        put(w, 1, 4);
    }
    put_text(w, "PK\5\6", 4);
    put(w, 0, 4);
    put(w, end->zip64 ? UINT16_MAX : entries, 2);
    put(w, end->zip64 ? UINT16_MAX : entries, 2);
    put(w, end->zip64 ? UINT32_MAX : size, 4);
    put(w, end->zip64 ? UINT32_MAX : directory, 4);
    put(w, 0, 2);
}

/* The archive of members, in a block of its size, so that reading past it is seen. */
static kt_bytes make(writer *w, const member *members, int count, const archive_end *end) {
    uint64_t places[4];
    *w = (writer){.arena = kt_arena_create()};
    for (int i = 0; i < count; i++) {
        places[i] = w->count;
        if (members[i].header_of)
            places[i] = places[members[i].header_of - 1];
        else
            put_header(w, &members[i]);
        places[i] += members[i].moved;
    }
    const uint64_t directory = w->count;
    for (int i = 0; i < count; i++) put_entry(w, &members[i], places[i]);
    put_end(w, (uint64_t)count, directory, end);
    uint8_t *bytes = malloc(w->count);
    assert_non_null(bytes);
    memcpy(bytes, w->bytes, w->count);
    return (kt_bytes){bytes, w->count};
}

static void expect(const member *members, int count, const archive_end *end, const char *part) {
    writer w;
    kt_diag diag = {0};
    kt_archive archive;
    kt_bytes file = make(&w, members, count, end);
    kt_status status = kt_archive_unpack(w.arena, file, &archive, &diag);
    if (!part) {
        if (status != KT_OK) fail_msg("refused: %s", diag.problems[0].text);
        for (int i = 0; i < count; i++) {
            const kt_bytes *found = kt_archive_find(&archive, members[i].name);
            assert_non_null(found);
            assert_int_equal(found->count, size_of(&members[i]));
            assert_memory_equal(found->at, members[i].text, found->count);
        }
    } else {
        if (status == KT_OK) fail_msg("“%s” was expected, but it was read", part);
        assert_int_equal(diag.count, 1);
        if (!strstr(diag.problems[0].text, part))
            fail_msg("“%s” says nothing of “%s”", diag.problems[0].text, part);
    }
    kt_diag_deinit(&diag);
    kt_arena_destroy(w.arena);
    free((void *)(uintptr_t)file.at);
}

static const archive_end plain = {0};
enum { TWO = 2 };
static const member config = {.name = "config.json", .text = "{\"class_name\": 1}"},
                    metadata = {.name = "metadata.json", .text = "{\"keras\": \"3\"}"};

static void reads_zip64(void **state) {
    (void)state;
    member members[TWO] = {config, metadata};
    expect(members, TWO, &plain, NULL);
    expect(members, TWO, &(archive_end){.zip64 = true}, NULL);
    members[1].zip64 = true;
    expect(members, TWO, &plain, NULL);
    expect(members, TWO, &(archive_end){.zip64 = true}, NULL);
}

static void refuses_lying_zip64(void **state) {
    (void)state;
    member members[TWO] = {config, metadata};
    static const uint64_t huge[] = {UINT64_MAX, INT64_MAX,  (uint64_t)INT64_MAX + 1,
                                    1ULL << 32, UINT32_MAX, 100000};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        const archive_end ends[] = {{.zip64 = true, .entries = huge[i]},
                                    {.zip64 = true, .directory = huge[i]},
                                    {.zip64 = true, .record = huge[i]}};
        for (int e = 0; e < 3; e++) expect(members, TWO, &ends[e], "archive");
        for (int m = 0; m < TWO; m++) {
            member lying[TWO] = {config, metadata};
            lying[m].zip64 = true;
            lying[m].packed = huge[i];
            expect(lying, TWO, &plain, "damaged");
            lying[m].packed = 0;
            lying[m].whole = huge[i];
            expect(lying, TWO, &plain, "damaged");
            lying[m].deflated = true;
            expect(lying, TWO, &plain, huge[i] == 100000 ? "damaged" : "decompression bomb");
            lying[m].deflated = false;
            lying[m].whole = 0;
            lying[m].moved = huge[i];
            expect(lying, TWO, &plain, "damaged");
        }
    }
}

static void refuses_overlaps(void **state) {
    (void)state;
    /* The same header for two entries; names of one length, because readers check no more than that. */
    member twice[TWO] = {config, {.name = "assets/abcd", .text = config.text, .header_of = 1}};
    expect(twice, TWO, &plain, "“assets/abcd” in the archive is damaged");
    member hidden[TWO] = {config, metadata};
    hidden[0].name = "assets/abcd";
    hidden[0].local_name = "config.json";
    expect(hidden, TWO, &plain, "“assets/abcd” in the archive is damaged");

    /* One member within another, header and all. */
    writer inner = {0};
    put_header(&inner, &metadata);
    member within[TWO] = {{.name = "assets/abcd", .text = (const char *)inner.bytes, .count = inner.count},
                          metadata};
    within[1].header_of = 1;
    within[1].moved = 30 + strlen(within[0].name);
    expect(within, TWO, &plain, "“assets/abcd” and “metadata.json” in the archive share bytes");
    member reversed[TWO] = {within[1], within[0]};
    reversed[0].header_of = 0; /* it has a header of its own, which the entry leaves for the other's */
    reversed[0].moved = 30 + strlen(metadata.name) + strlen(metadata.text) + 30 + strlen(within[0].name);
    expect(reversed, TWO, &plain, "“metadata.json” and “assets/abcd” in the archive share bytes");

    /* A member that reaches into the next one's header, with the right checksum. */
    member reaching[TWO] = {config, metadata};
    const size_t more = 20, size = strlen(config.text);
    writer w;
    kt_bytes file = make(&w, reaching, TWO, &plain);
    const uint8_t *text = file.at + 30 + strlen(config.name);
    reaching[0].packed = reaching[0].local_packed = size + more;
    reaching[0].crc = reaching[0].local_crc = (uint32_t)crc32(0, text, (unsigned)(size + more));
    kt_arena_destroy(w.arena);
    free((void *)(uintptr_t)file.at);
    expect(reaching, TWO, &plain, "“config.json” and “metadata.json” in the archive share bytes");
}

/* What the header says is not what the directory says. */
static void refuses_disagreement(void **state) {
    (void)state;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        member cases[6] = {config, config, config, config, config, config};
        cases[0].local_name = "config.jso";
        cases[1].local_name = "config.json_";
        cases[2].local_crc = 1;
        cases[3].crc = 1;
        cases[4].packed = 5;
        cases[5].moved = 1;
        for (int i = 0; i < 6; i++) {
            member members[TWO] = {metadata, cases[i]};
            members[1].zip64 = zip64;
            expect(members, TWO, &plain, "“config.json” in the archive is damaged");
        }
    }
    member longer[TWO] = {metadata, config};
    longer[1].local_packed = 4000; /* more than there is */
    expect(longer, TWO, &plain, "“config.json” in the archive is damaged");
    longer[1].packed = 4000;
    expect(longer, TWO, &plain, "damaged");
    member packed[TWO] = {metadata, config};
    packed[1].deflated = true;
    expect(packed, TWO, &plain, "“config.json” in the archive is damaged");
}

static void refuses_two_of_a_name(void **state) {
    (void)state;
    member members[TWO] = {config, config};
    expect(members, TWO, &plain, "The archive holds “config.json” twice.");
    members[1].header_of = 1;
    expect(members, TWO, &plain, "The archive holds “config.json” twice.");
}

/* Readers that count entries and readers that go through the directory would find different members. */
static void refuses_wrong_counts(void **state) {
    (void)state;
    const member members[TWO] = {config, metadata};
    for (int zip64 = 0; zip64 < 2; zip64++) {
        expect(members, TWO, &(archive_end){.zip64 = zip64, .entries = 1}, "The archive is damaged");
        expect(members, TWO, &(archive_end){.zip64 = zip64, .entries = 3}, "The archive is damaged");
        expect(members, TWO, &(archive_end){.zip64 = zip64, .directory = 1}, "The archive is damaged");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_zip64),           cmocka_unit_test(refuses_lying_zip64),
        cmocka_unit_test(refuses_overlaps),      cmocka_unit_test(refuses_disagreement),
        cmocka_unit_test(refuses_two_of_a_name), cmocka_unit_test(refuses_wrong_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
