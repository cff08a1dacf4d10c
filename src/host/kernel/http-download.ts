import { get as httpGet, type IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import { rootCertificates } from 'node:tls';
import { errnoOf, KernelError, messageOf, NETWORK_HINT } from './kernel-error.ts';

const REDIRECTS_MAX = 5;
const SILENCE_MS = 30_000;

export interface DownloadOptions {
  /** PEM certificates to trust besides Node's own; empty leaves Node's defaults alone. */
  readonly ca: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/**
 * The body of a GET, redirects followed; https does not lead back to http.
 *
 * @throws {KernelError} ERR_KERNEL_OFFLINE nothing answered, ERR_KERNEL_DOWNLOAD the answer was not the file
 */
export async function* download(url: string, options: DownloadOptions): AsyncGenerator<Uint8Array, void, void> {
  let at = new URL(url);
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects++) {
    const response = await request(at, options);
    const { statusCode = 0, headers } = response;
    if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
      response.destroy();
      const next = new URL(headers.location, at);
      if (at.protocol === 'https:' && next.protocol !== 'https:') throw refused(url, `redirected to ${next.protocol}`);
      at = next;
      continue;
    }
    if (statusCode !== 200) {
      response.destroy();
      throw refused(url, `the server answered ${statusCode}`);
    }
    yield* body(response, url, options.signal);
    return;
  }
  throw refused(url, `more than ${REDIRECTS_MAX} redirects`);
}

async function request(url: URL, { ca, signal }: DownloadOptions): Promise<IncomingMessage> {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused(url.href, `protocol is ${url.protocol}`);
  // Setting `ca` replaces every default, so the built-in list is repeated.
  const trust = ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca] };
  const options = { ...trust, ...(signal && { signal }), headers: { 'user-agent': 'krun' } };
  return await new Promise((resolve, reject) => {
    const call = url.protocol === 'https:' ? httpsGet(url, options, resolve) : httpGet(url, options, resolve);
    call.on('error', (error) => reject(failure(url.href, error, signal)));
    call.setTimeout(SILENCE_MS, () => call.destroy(new Error(`nothing came for ${SILENCE_MS / 1000} s`)));
  });
}

async function* body(
  response: IncomingMessage,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw refused(url, messageOf(error), error);
  } finally {
    response.destroy();
  }
}

function failure(url: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  const reason = errnoOf(error) ?? messageOf(error);
  return new KernelError('ERR_KERNEL_OFFLINE', `Cannot reach ${new URL(url).host}: ${reason}`, {
    hint: NETWORK_HINT,
    cause: error,
  });
}

function refused(url: string, found: string, cause?: unknown): KernelError {
  return new KernelError('ERR_KERNEL_DOWNLOAD', `Cannot fetch ${url}: ${found}`, { hint: NETWORK_HINT, cause });
}
