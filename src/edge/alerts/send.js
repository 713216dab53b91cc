// What only the platform can do for a delivery: fetch, parse a URL, hand a mail over.

/** Posts; answers `[status, retry-after]`, or a word for why there is none. The answer's body is not read. */
export async function post(url, headers, body, ms) {
  try {
    const answer = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal: AbortSignal.timeout(ms) });
    await answer.body?.cancel();
    return [answer.status, answer.headers.get('retry-after') ?? ''];
  } catch (error) {
    return error?.name === 'TimeoutError' ? 'timeout' : 'connection';
  }
}

/** `[scheme, host, "" or "credentials"]` of a URL, numbers in disguise resolved; undefined of none. */
export function urlParts(text) {
  try {
    const { protocol, hostname, username, password } = new URL(text);
    return [protocol, hostname, username || password ? 'credentials' : ''];
  } catch {
    return undefined;
  }
}

/** Hands a mail to a `send_email` binding: true where it took it. */
export async function sendMail(binding, mail) {
  try {
    await binding.send(JSON.parse(mail));
    return true;
  } catch (error) {
    console.error('mail:', String(error?.message ?? error));
    return false;
  }
}
