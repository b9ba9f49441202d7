#include "server.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>

namespace {

constexpr long kReceiveBytes = 96 << 10;
/** A connection that is not there after so long, or after the timeout, counts as dead. */
constexpr long kConnectSeconds = 10;
/** A connection that is slower than this many bytes a second for the whole timeout counts as dead. */
constexpr long kBytesPerSecondMin = 1024;
/** How often a request that waits for its server looks whether it was given up. */
constexpr int kPollMs = 100;

struct Receiver {
  CURL* curl;
  const ServerRequest* request;
  Taker* taker;
  uint64_t received;
  std::exception_ptr thrown;
};

/** Throws unless the answer is what was asked for. A server may send the whole object where all of it was. */
void CheckStatus(CURL* curl, const ServerRequest& request) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status == 400 || status == 401 || status == 403) throw std::runtime_error("refused");
  const bool is_all = request.begin == 0 && request.end == 0;
  if (status != 206 && !(status == 200 && is_all)) throw std::runtime_error("the server answered with status " + std::to_string(status));
}

size_t ReceiveSome(char* bytes, size_t, size_t length, void* context) {
  auto* receiver = static_cast<Receiver*>(context);
  const ServerRequest& request = *receiver->request;
  try {
    CheckStatus(receiver->curl, request);
    receiver->received += length;
    const uint64_t most = request.end == 0 ? kObjectBytesMax : request.end - request.begin;
    if (receiver->received > most) throw std::runtime_error("the server sent more than was asked for");
    receiver->taker->Take(reinterpret_cast<const uint8_t*>(bytes), length);
    return length;
  } catch (...) {
    receiver->thrown = std::current_exception();
    return 0;
  }
}

struct FreeHandle {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

struct FreeConnections {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

/** What a thread keeps from one request to the next. */
struct Kept {
  std::unique_ptr<CURLM, FreeConnections> connections{curl_multi_init()};
  std::unique_ptr<CURL, FreeHandle> curl{curl_easy_init()};
};

/** Carries out a prepared request. Stops when it was given up, unless all bytes are there: then the connection can be kept. */
CURLcode Perform(const Kept& kept, const ServerRequest& request, const Taker& taker) {
  CURLM* const multi = kept.connections.get();
  CURL* const curl = kept.curl.get();
  struct Added {
    CURLM* multi;
    CURL* curl;
    ~Added() { curl_multi_remove_handle(multi, curl); }
  };
  if (curl_multi_add_handle(multi, curl) != CURLM_OK) return CURLE_FAILED_INIT;
  const Added added{multi, curl};
  for (int running = 1;;) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) return CURLE_FAILED_INIT;
    if (running == 0) break;
    if (*request.given_up && !taker.HasAll()) return CURLE_ABORTED_BY_CALLBACK;
    if (curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr) != CURLM_OK) return CURLE_FAILED_INIT;
  }
  int left = 0;
  const CURLMsg* const message = curl_multi_info_read(multi, &left);
  return message == nullptr ? CURLE_FAILED_INIT : message->data.result;
}

}  // namespace

void Ask(const ServerRequest& request, Taker* taker) {
  thread_local Kept kept;
  CURL* const curl = kept.curl.get();
  const std::string range = std::to_string(request.begin) + "-" + (request.end == 0 ? "" : std::to_string(request.end - 1));
  Receiver receiver{curl, &request, taker, 0, nullptr};
  curl_easy_reset(curl);  // connections stay
  curl_easy_setopt(curl, CURLOPT_URL, request.server.url.c_str());
  curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // Proxies are decided in TypeScript, for all requests alike: the environment must not count here.
  curl_easy_setopt(curl, CURLOPT_PROXY, request.server.proxy.c_str());
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "");
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kReceiveBytes);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, std::min(kConnectSeconds, static_cast<long>(request.server.timeout_seconds)));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kBytesPerSecondMin);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request.server.timeout_seconds));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ReceiveSome);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &receiver);
  if (!request.server.certificates.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, request.server.certificates.c_str());
    curl_easy_setopt(curl, CURLOPT_PROXY_CAINFO, request.server.certificates.c_str());
  }
  const CURLcode code = Perform(kept, request, *taker);
  if (receiver.thrown) std::rethrow_exception(receiver.thrown);
  // libcurl's messages never hold the address, so the signature in it does not leak.
  if (code != CURLE_OK) throw std::runtime_error(curl_easy_strerror(code));
  // Of an answer without a body nobody has seen it yet.
  CheckStatus(curl, request);
}
