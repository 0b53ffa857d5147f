/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns the table of messages as data, and the one loop each that encodes and decodes by it. Refuses whatever the table
 * does not draw: the peer may be a worker that a hostile model file took over, and sparkd trusts these checks alone. */

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "basic/checked.h"
#include "daemon/wire/wire.h"

static const WireSpec specs[WIRE_TYPE_MAX] = {
#define X(n, d, f, p, lo, hi) \
        [WIRE_##n] = { .name = #n, .fields = f, .direction = WIRE_##d, .payload_max = p, .fds_min = lo, .fds_max = hi },
        WIRE_MESSAGES(X)
#undef X
};

const WireSpec *wire_spec(WireType type) {
        if ((unsigned) type >= WIRE_TYPE_MAX || !specs[type].name)
                return NULL;
        return &specs[type];
}

const char *wire_type_name(WireType type) {
        const WireSpec *spec = wire_spec(type);
        return spec ? spec->name : "?";
}

static void put_u32(char *p, uint32_t v) {
        v = htole32(v);
        memcpy(p, &v, sizeof v);
}

static void put_u64(char *p, uint64_t v) {
        v = htole64(v);
        memcpy(p, &v, sizeof v);
}

static uint32_t get_u32(const char *p) {
        uint32_t v;
        memcpy(&v, p, sizeof v);
        return le32toh(v);
}

static uint64_t get_u64(const char *p) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        return le64toh(v);
}

/* Bytes of a field without a string's own. */
static size_t field_size(char field) {
        return field == 't' ? 8 : 4;
}

int wire_encode(WireType type, va_list ap, char **ret, size_t *ret_size) {
        const WireSpec *spec = wire_spec(type);
        if (!spec)
                return -EINVAL;

        WireField fields[WIRE_FIELDS_MAX];
        size_t n = strlen(spec->fields), size = 0;
        for (size_t i = 0; i < n; i++) {
                switch (spec->fields[i]) {
                case 'u':
                        fields[i].u = va_arg(ap, uint32_t);
                        break;
                case 't':
                        fields[i].t = va_arg(ap, uint64_t);
                        break;
                case 'f':
                        fields[i].f = (float) va_arg(ap, double);
                        break;
                case 's':
                        fields[i].s.data = va_arg(ap, const char *);
                        fields[i].s.size = va_arg(ap, size_t);
                        if (!checked_add(size, fields[i].s.size, &size))
                                return -EINVAL;
                        break;
                }
                if (!checked_add(size, field_size(spec->fields[i]), &size) || size > spec->payload_max)
                        return -EINVAL;
        }

        char *frame = malloc(WIRE_HEADER_SIZE + size);
        if (!frame)
                return -ENOMEM;
        put_u32(frame, (uint32_t) size);
        put_u32(frame + 4, (uint32_t) type);   /* u16 type, u16 reserved */

        char *p = frame + WIRE_HEADER_SIZE;
        for (size_t i = 0; i < n; i++) {
                switch (spec->fields[i]) {
                case 'u':
                        put_u32(p, fields[i].u);
                        break;
                case 't':
                        put_u64(p, fields[i].t);
                        break;
                case 'f': {
                        uint32_t bits;
                        memcpy(&bits, &fields[i].f, sizeof bits);
                        put_u32(p, bits);
                        break;
                }
                case 's':
                        put_u32(p, (uint32_t) fields[i].s.size);
                        if (fields[i].s.size > 0)
                                memcpy(p + 4, fields[i].s.data, fields[i].s.size);
                        p += fields[i].s.size;
                        break;
                }
                p += field_size(spec->fields[i]);
        }

        *ret = frame;
        *ret_size = WIRE_HEADER_SIZE + size;
        return 0;
}

int wire_decode_header(const char *header, WireDirection receive, WireType *ret_type, size_t *ret_size) {
        uint32_t size = get_u32(header), type = get_u32(header + 4);

        /* A reserved half that is not 0 makes the type too large. */
        const WireSpec *spec = wire_spec((WireType) type);
        if (!spec || spec->direction != receive || size > spec->payload_max)
                return -EBADMSG;

        *ret_type = (WireType) type;
        *ret_size = size;
        return 0;
}

int wire_decode(WireType type, char *payload, size_t size, size_t n_fds, WireDirection receive, WireMessage *ret) {
        const WireSpec *spec = wire_spec(type);
        if (!spec || spec->direction != receive || size > spec->payload_max ||
            n_fds < spec->fds_min || n_fds > spec->fds_max)
                return -EBADMSG;

        WireMessage m = { .type = type, .n_fields = strlen(spec->fields) };
        size_t pos = 0;
        for (size_t i = 0; i < m.n_fields; i++) {
                size_t need = field_size(spec->fields[i]);
                if (need > size - pos)
                        return -EBADMSG;
                const char *p = payload + pos;
                pos += need;

                switch (spec->fields[i]) {
                case 'u':
                        m.fields[i].u = get_u32(p);
                        break;
                case 't':
                        m.fields[i].t = get_u64(p);
                        break;
                case 'f': {
                        uint32_t bits = get_u32(p);
                        memcpy(&m.fields[i].f, &bits, sizeof bits);
                        break;
                }
                case 's':
                        m.fields[i].s.size = get_u32(p);
                        if (m.fields[i].s.size > size - pos)
                                return -EBADMSG;
                        m.fields[i].s.data = payload + pos;
                        pos += m.fields[i].s.size;
                        break;
                }
        }
        if (pos != size)
                return -EBADMSG;

        /* Only now: what a string's NUL overwrites has been read. */
        for (size_t i = 0; i < m.n_fields; i++)
                if (spec->fields[i] == 's')
                        payload[m.fields[i].s.data - payload + m.fields[i].s.size] = 0;

        *ret = m;
        return 0;
}
