// Requests to the server, relative to where the page is.

const BASE = new URL('api/v1/', new URL('.', document.baseURI));

/** A refusal of the server's. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let onLogin = () => {};
/** Who is told that the session has ended. */
export function whenLoggedOut(action) { onLogin = action; }

/**
 * Calls the API; the answer's JSON, or null. `body`: an object, or a file. `confirm`: what
 * the password was given again for.
 */
export async function call(method, path, body, confirm) {
  const headers = confirm ? { 'seedrail-confirm': confirm } : {};
  let payload;
  if (body instanceof Blob) {
    headers['content-type'] = 'application/x-bittorrent';
    payload = body;
  } else if (body !== undefined) {
    headers['content-type'] = 'application/json';
    payload = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(new URL(path, BASE), { method, headers, body: payload, credentials: 'same-origin' });
  } catch {
    throw new Refused(0, 'unreachable', 'The server does not answer.');
  }
  if (response.status === 204) return null;
  const kind = response.headers.get('content-type') ?? '';
  const answer = kind.includes('json') ? await response.json() : null;
  if (response.ok) return answer;
  const { code, message } = answer?.error ?? { code: 'failed', message: `The server answered ${response.status}.` };
  if (response.status === 401 && code === 'log_in') onLogin();
  throw new Refused(response.status, code, message);
}

/** The address of the stream of events. */
export function streamUrl(since, of) {
  const url = new URL('events', BASE);
  if (since) url.searchParams.set('since', since);
  if (of) url.searchParams.set('of', of);
  return url;
}
