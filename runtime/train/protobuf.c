/* Writing protobuf's wire format, on machines that have numbers as it has, least significant byte first. How
 * long a message is stands in front of it and is known behind it: what has been written is moved then, so
 * that lengths take no more bytes than they have to. */
#include "runtime/train/protobuf.h"
#include "runtime/room.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VARINT = 10, VARINT = 0, EIGHT_BYTES = 1, COUNTED = 2 }; /* types of fields */

void kt_message_deinit(kt_message *message) {
    free(message->at);
    *message = (kt_message){0};
}

/* Room for so many more bytes; false: there is none. */
static bool make_room(kt_message *message, size_t count) {
    const size_t needed = message->count + count;
    if (message->lacks_memory) return false;
    if (needed <= message->room) return true;
    const size_t room = KT_ROOM(2 * needed + 64, needed);
    uint8_t *at = realloc(message->at, room);
    message->lacks_memory = !at;
    if (!at) return false;
    message->at = at;
    message->room = room;
    return true;
}

static size_t print_varint(uint64_t value, uint8_t out[MOST_VARINT]) {
    size_t count = 0;
    for (; value > 0x7F; value >>= 7) out[count++] = (uint8_t)(value | 0x80);
    out[count++] = (uint8_t)value;
    return count;
}

void kt_message_bytes(kt_message *message, const void *bytes, size_t count) {
    if (!count || !make_room(message, count)) return;
    memcpy(message->at + message->count, bytes, count);
    message->count += count;
}

static void put_varint(kt_message *message, uint64_t value) {
    uint8_t bytes[MOST_VARINT];
    kt_message_bytes(message, bytes, print_varint(value, bytes));
}

void kt_message_number(kt_message *message, unsigned field, uint64_t value) {
    put_varint(message, field << 3 | VARINT);
    put_varint(message, value);
}

void kt_message_double(kt_message *message, unsigned field, double value) {
    put_varint(message, field << 3 | EIGHT_BYTES);
    kt_message_bytes(message, &value, sizeof value);
}

void kt_message_field(kt_message *message, unsigned field, const void *bytes, size_t count) {
    put_varint(message, field << 3 | COUNTED);
    put_varint(message, count);
    kt_message_bytes(message, bytes, count);
}

void kt_message_text(kt_message *message, unsigned field, const char *text) {
    kt_message_field(message, field, text, strlen(text));
}

size_t kt_message_open(kt_message *message, unsigned field) {
    put_varint(message, field << 3 | COUNTED);
    return message->count;
}

void kt_message_close(kt_message *message, size_t begin) {
    uint8_t length[MOST_VARINT];
    const size_t count = message->count - begin, bytes = print_varint(count, length);
    if (!make_room(message, bytes)) return;
    memmove(message->at + begin + bytes, message->at + begin, count);
    memcpy(message->at + begin, length, bytes);
    message->count += bytes;
}
