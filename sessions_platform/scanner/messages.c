/* Messages that come one by one, as columns: records with their sizes, as their digest takes them, and the envelopes of
 * Kafka's messages.
 *
 * Memory comes from the caller, who sees to it that all that is written is less than 4 GiB.
 */
#include "views.h"

enum { MOST_DIGITS = 20 };

static uint8_t *write_bytes(uint8_t *to, const void *bytes, int64_t size) {
  memcpy(to, bytes, (size_t)size);
  return to + size;
}

static uint8_t *write_number(uint8_t *to, int64_t number) {
  uint8_t digits[MOST_DIGITS];
  int first = MOST_DIGITS;
  uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do digits[--first] = (uint8_t)('0' + left % 10);
  while (left /= 10);
  if (number < 0) digits[--first] = '-';
  return write_bytes(to, digits + first, MOST_DIGITS - first);
}

/* Write each record behind its size and a line feed, and a view of the record in buffer 0; returns how much was written.
 *
 * records, sizes  the records, one right after the other, and the size of each
 * to              all of them and 21 bytes more for each
 */
int64_t frame_records(const uint8_t *records, const int64_t *sizes, int64_t count, uint8_t *to, view *views) {
  uint8_t *start = to;
  for (int64_t row = 0; row < count; row++) {
    to = write_number(to, sizes[row]);
    *to++ = '\n';
    views[row] = view_of(records, (uint32_t)sizes[row], 0, (uint32_t)(to - start));
    to = write_bytes(to, records, sizes[row]);
    records += sizes[row];
  }
  return to - start;
}

/* Whether a key is the same in JSON, between quotes: ASCII that can be printed, without quotes and backslashes. */
static int is_plain(const uint8_t *key, int64_t size) {
  int is_other = 0;
  for (int64_t at = 0; at < size; at++)
    is_other |= (key[at] < 0x20) | (key[at] > 0x7e) | (key[at] == '"') | (key[at] == '\\');
  return !is_other;
}

#define WRITE(to, text) write_bytes(to, text, sizeof(text) - 1)

/* Write the envelope of each message, and a view of it in buffer 0; returns how much was written, or -1 where a key is
 * none that is plain.
 *
 * beginning, length  what each envelope begins with, more than INLINE bytes
 * offsets, times     numbers of each message
 * keys, sizes        the keys, one right after the other, and the size of each; -1 where there is none
 * to                 all keys, and `length` and 70 bytes for each message
 */
int64_t write_envelopes(const uint8_t *beginning, int64_t length, const int64_t *offsets, const int64_t *times,
                        const uint8_t *keys, const int64_t *sizes, int64_t count, uint8_t *to, view *views) {
  uint8_t *start = to;
  for (int64_t row = 0; row < count; row++) {
    uint8_t *first = to;
    to = write_bytes(to, beginning, length);
    to = write_number(to, offsets[row]);
    to = WRITE(to, ",\"timestamp\":");
    to = write_number(to, times[row]);
    to = WRITE(to, ",\"key\":");
    if (sizes[row] < 0) {
      to = WRITE(to, "null");
    } else {
      if (!is_plain(keys, sizes[row])) return -1;
      *to++ = '"';
      to = write_bytes(to, keys, sizes[row]);
      *to++ = '"';
      keys += sizes[row];
    }
    *to++ = '}';
    views[row] = view_of(first, (uint32_t)(to - first), 0, (uint32_t)(first - start));
  }
  return to - start;
}
