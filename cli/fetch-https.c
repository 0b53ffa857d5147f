/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Owns downloads: HTTPS alone, also after a redirect; a stalled server is given up; what was there before is continued.
 * The server decides nothing but bytes: neither the file's name nor more of it than was promised. */

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "basic/cleanup.h"
#include "cli/fetch.h"
#include "cli/sparkctl.h"

#define REDIRECTS_MAX 8L
#define CONNECT_SECONDS 30L
#define STALL_SECONDS 60L                 /* without a single byte a second */

static inline void curl_drop(CURL *c) {
        curl_easy_cleanup(c);
}
DEFINE_CLEANUP(CURL, curl_drop);

typedef struct Download {
        Fetch *fetch;
        CURL *curl;
        int error;                        /* of writing */
} Download;

static size_t on_data(char *data, size_t one, size_t n, void *userdata) {
        Download *d = userdata;
        long status = 0;
        curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
        /* The body of a redirect is nobody's model. */
        if (status >= 300)
                return n;
        d->error = fetch_write(d->fetch, data, n);
        return d->error < 0 ? 0 : n;
}

static int on_progress(void *userdata, curl_off_t dl_all, curl_off_t dl_now, curl_off_t ul_all, curl_off_t ul_now) {
        Download *d = userdata;
        fetch_progress(d->fetch, false);
        return fetch_interrupted(d->fetch);
}

static int set_up(Download *d, const char *url, char *error_text) {
        CURL *c = d->curl;
        CURLcode e = CURLE_OK;
        const struct { CURLoption option; long value; } numbers[] = {
                { CURLOPT_FOLLOWLOCATION,  1               },
                { CURLOPT_MAXREDIRS,       REDIRECTS_MAX   },
                { CURLOPT_FAILONERROR,     1               },
                { CURLOPT_CONNECTTIMEOUT,  CONNECT_SECONDS },
                { CURLOPT_LOW_SPEED_LIMIT, 1               },
                { CURLOPT_LOW_SPEED_TIME,  STALL_SECONDS   },
                { CURLOPT_NOPROGRESS,      0               },
                { CURLOPT_NOSIGNAL,        1               },
                { CURLOPT_SSLVERSION,      CURL_SSLVERSION_TLSv1_2 },
        };
        for (size_t i = 0; i < ELEMENTSOF(numbers) && e == CURLE_OK; i++)
                e = curl_easy_setopt(c, numbers[i].option, numbers[i].value);
        const struct { CURLoption option; const void *value; } pointers[] = {
                { CURLOPT_URL,                 url                    },
                { CURLOPT_PROTOCOLS_STR,       "https"                },
                { CURLOPT_REDIR_PROTOCOLS_STR, "https"                },
                { CURLOPT_USERAGENT,           "sparkctl/" SPARK_VERSION },
                { CURLOPT_WRITEDATA,           d                      },
                { CURLOPT_XFERINFODATA,        d                      },
                { CURLOPT_ERRORBUFFER,         error_text             },
        };
        for (size_t i = 0; i < ELEMENTSOF(pointers) && e == CURLE_OK; i++)
                e = curl_easy_setopt(c, pointers[i].option, pointers[i].value);
        if (e == CURLE_OK && d->fetch->ca_file)
                e = curl_easy_setopt(c, CURLOPT_CAINFO, d->fetch->ca_file);
        if (e == CURLE_OK)
                e = curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
        if (e == CURLE_OK)
                e = curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
        if (e == CURLE_OK)
                e = curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t) d->fetch->at);
        if (e == CURLE_OK)
                e = curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) (d->fetch->size_max - d->fetch->at));
        return e == CURLE_OK ? 0 : -EIO;
}

/* 1: the server cannot go on in the middle. */
static int download(Fetch *f, const char *url) {
        char text[CURL_ERROR_SIZE] = "";
        _cleanup_(curl_dropp) CURL *c = curl_easy_init();
        if (!c)
                return -ENOMEM;
        Download d = { .fetch = f, .curl = c };
        bool resumed = f->at > 0;
        int r = set_up(&d, url, text);
        if (r < 0) {
                complain(0, "Cannot set up the download.");
                return r;
        }
        CURLcode e = curl_easy_perform(c);
        long status = 0;
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);

        if (e == CURLE_OK) {
                fetch_progress(f, true);
                return 0;
        }
        if (e == CURLE_ABORTED_BY_CALLBACK)
                return -EINTR;
        /* 200: it sends all of it again, which may also be more than what was still missing. */
        if (resumed && (e == CURLE_RANGE_ERROR || status == 416 || (e == CURLE_FILESIZE_EXCEEDED && status == 200)))
                return 1;
        if (e == CURLE_FILESIZE_EXCEEDED || d.error == -EFBIG) {
                complain(0, "'%s' is larger than the %llu bytes that were promised.", url, (unsigned long long) f->size_max);
                return -EFBIG;
        }
        if (d.error < 0) {
                complain(0, "Cannot write the download: %s.", strerror(-d.error));
                return d.error;
        }
        if (e == CURLE_UNSUPPORTED_PROTOCOL) {
                complain(0, "'%s' leads to something that is not https://, which is refused.", url);
                return -EPROTO;
        }
        complain(0, "Cannot download '%s': %s.", url, text[0] ? text : curl_easy_strerror(e));
        return status >= 400 ? -ENOENT : -EIO;
}

int fetch_https(Fetch *f, const char *url) {
        int r = f->at <= f->size_max ? download(f, url) : 1;
        if (r <= 0)
                return r;
        /* Only a file that begins here can begin anew: nothing was joined before it. */
        f->at = 0;
        if (ftruncate(f->fd, 0) < 0)
                return -errno;
        r = download(f, url);
        return r > 0 ? -EIO : r;
}
