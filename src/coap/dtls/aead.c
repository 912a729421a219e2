/*
 * Seals and opens one record with AES-128-CCM or AES-128-GCM, in the OpenSSL that Node.js brings: one call where node:crypto
 * takes six and three objects. It decides nothing: cipher.ts says what the nonce and the additional data are.
 */
#define NAPI_VERSION 8
#include <node_api.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#define KEY_BYTES 16
#define NONCE_BYTES 12
#define LEAST_TAG 8
#define MOST_TAG 16
/* Far more than a record has. */
#define MOST_BYTES 65536

static EVP_CIPHER *ciphers[2];
/* Empty between two calls. */
static EVP_CIPHER_CTX *context;

struct bytes {
  uint8_t *data;
  size_t length;
};

struct job {
  const EVP_CIPHER *cipher;
  bool is_ccm;
  struct bytes key, nonce, additional, input, output;
  int tag;
};

/* Forgets key and nonce. What is left in the queue of errors node:crypto would take for an error of its own. */
static void done(void) {
  if (context != NULL) EVP_CIPHER_CTX_reset(context);
  ERR_clear_error();
}

static napi_value fail(napi_env env, const char *words) {
  done();
  napi_throw_error(env, "EINVAL", words);
  return NULL;
}

/* (cipher, key, nonce, additional, input, output, tag): 0 is CCM, 1 GCM; `tag` is the length of the authentication tag. */
static bool job_of(napi_env env, napi_callback_info info, struct job *job) {
  size_t count = 7;
  napi_value given[7];
  int32_t cipher;
  if (napi_get_cb_info(env, info, &count, given, NULL, NULL) != napi_ok || count < 7) return false;
  struct bytes *buffers[] = {&job->key, &job->nonce, &job->additional, &job->input, &job->output};
  for (int i = 0; i < 5; i++) {
    void *data;
    if (napi_get_buffer_info(env, given[i + 1], &data, &buffers[i]->length) != napi_ok) return false;
    buffers[i]->data = data;
    if (buffers[i]->length > MOST_BYTES) return false;
  }
  if (napi_get_value_int32(env, given[0], &cipher) != napi_ok || napi_get_value_int32(env, given[6], &job->tag) != napi_ok)
    return false;
  if (cipher < 0 || cipher > 1 || job->tag < LEAST_TAG || job->tag > MOST_TAG) return false;
  job->cipher = ciphers[cipher];
  job->is_ccm = cipher == 0;
  return job->key.length == KEY_BYTES && job->nonce.length == NONCE_BYTES;
}

/* Key, nonce, lengths and additional data; `tag` is what has to be the tag, NULL when sealing. */
static bool begin(const struct job *job, int seals, const uint8_t *tag, int length) {
  int written;
  if (EVP_CipherInit_ex(context, job->cipher, NULL, NULL, NULL, seals) != 1) return false;
  if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, NONCE_BYTES, NULL) != 1) return false;
  if ((job->is_ccm || tag != NULL) && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, job->tag, (void *)tag) != 1)
    return false;
  if (EVP_CipherInit_ex(context, NULL, NULL, job->key.data, job->nonce.data, seals) != 1) return false;
  if (job->is_ccm && EVP_CipherUpdate(context, NULL, &written, NULL, length) != 1) return false;
  return job->additional.length == 0 ||
         EVP_CipherUpdate(context, NULL, &written, job->additional.data, job->additional.length) == 1;
}

/* seal(...): writes ciphertext and tag of the input to the output. */
static napi_value seal(napi_env env, napi_callback_info info) {
  struct job job;
  uint8_t none[EVP_MAX_BLOCK_LENGTH];
  int written = 0, more;
  if (!job_of(env, info, &job) || job.output.length < job.input.length + job.tag) return fail(env, "nothing to seal");
  const uint8_t *input = job.input.length > 0 ? job.input.data : none;
  uint8_t *output = job.output.data;
  if (!begin(&job, 1, NULL, job.input.length) ||
      EVP_CipherUpdate(context, output, &written, input, job.input.length) != 1 ||
      EVP_CipherFinal_ex(context, none, &more) != 1 || (size_t)written != job.input.length ||
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, job.tag, output + written) != 1)
    return fail(env, "it cannot be sealed");
  done();
  return NULL;
}

/* open(...): writes the plaintext of ciphertext and tag to the output; whether they are authentic. */
static napi_value open_record(napi_env env, napi_callback_info info) {
  struct job job;
  uint8_t none[EVP_MAX_BLOCK_LENGTH];
  int written = 0, more;
  napi_value result;
  if (!job_of(env, info, &job) || job.input.length < (size_t)job.tag ||
      job.output.length < job.input.length - (size_t)job.tag)
    return fail(env, "nothing to open");
  int length = job.input.length - job.tag;
  uint8_t *output = length > 0 ? job.output.data : none;
  /* CCM tells with the data whether they are authentic, GCM at the end. */
  bool is = begin(&job, 0, job.input.data + length, length) &&
            EVP_CipherUpdate(context, output, &written, job.input.data, length) == 1 &&
            (job.is_ccm || EVP_CipherFinal_ex(context, none, &more) == 1) && written == length;
  if (!is && length > 0) OPENSSL_cleanse(output, length);
  done();
  return napi_get_boolean(env, is, &result) == napi_ok ? result : NULL;
}

static napi_value init(napi_env env, napi_value exports) {
  napi_value function;
  ciphers[0] = EVP_CIPHER_fetch(NULL, "AES-128-CCM", NULL);
  ciphers[1] = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
  context = EVP_CIPHER_CTX_new();
  if (ciphers[0] == NULL || ciphers[1] == NULL || context == NULL) return fail(env, "OpenSSL has not these ciphers");
  if (napi_create_function(env, "seal", NAPI_AUTO_LENGTH, seal, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "seal", function) != napi_ok ||
      napi_create_function(env, "open", NAPI_AUTO_LENGTH, open_record, NULL, &function) != napi_ok ||
      napi_set_named_property(env, exports, "open", function) != napi_ok)
    return fail(env, "no functions");
  return exports;
}

NAPI_MODULE(aead, init)
