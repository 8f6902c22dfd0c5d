/** The probe of `godwit doctor` about the certificate that a host shows to others. */
import { explain } from '../base/errors.ts';
import type { Probe } from '../linux/probe.ts';
import { readTlsDirectory } from '../tls/tls-directory.ts';

const DAY_MS = 86_400_000;
/** Time for whoever reads it to renew the certificate before hosts refuse this one. */
const ENOUGH_DAYS = 14;

/** @param directory - where it is looked for, as for `godwit host --tls` */
export function probeTls(directory: string, nowMs: number): Probe {
  const asked = { id: 'tls', title: `TLS between hosts (${directory})`, needed: 'optional' } as const;
  try {
    const { names, notBeforeMs, notAfterMs } = readTlsDirectory(directory).facts;
    const [from, until] = [notBeforeMs, notAfterMs].map((ms) => new Date(ms).toISOString().slice(0, 10));
    const days = Math.floor((notAfterMs - nowMs) / DAY_MS);
    const fix = 'Renew it: godwit tls host DIR NAME, and copy the files here; nothing has to be restarted';
    if (notAfterMs <= nowMs) return { ...asked, ok: false, reason: `the certificate has expired on ${until}`, fix };
    if (notBeforeMs > nowMs) {
      const clock = 'Set the clock of this host (NTP)';
      return { ...asked, ok: false, reason: `the certificate is not valid before ${from}`, fix: clock };
    }
    if (days < ENOUGH_DAYS) {
      return { ...asked, ok: false, reason: `the certificate expires on ${until} (in ${days} days)`, fix };
    }
    return { ...asked, ok: true, value: `${names.join(', ')}, valid until ${until} (${days} days)` };
  } catch (error) {
    const fix =
      'Make certificates with godwit tls init, copy them here, and start godwit host --tls DIR; --tls DIR looks elsewhere';
    return { ...asked, ok: false, reason: explain(error), fix };
  }
}
