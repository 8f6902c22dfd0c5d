/**
 * When to say that a host's certificate is going to expire.
 *
 * Owns: what was said of which certificate. Must hold: each step is said once, and the last of those that have passed.
 */
import type { CertificateFacts } from '../tls/tls-directory.ts';

const DAY_MS = 86_400_000;
/** Days before the end, the nearest first. A month is time for whoever renews by hand. */
const STEPS: readonly number[] = [1, 7, 30];

export class CertificateAge {
  /** Of the certificate that ends at `#notAfterMs`. */
  #saidDays = Number.POSITIVE_INFINITY;
  #notAfterMs: number | undefined;

  /** undefined: there is nothing new to say. */
  warningOf({ notAfterMs }: CertificateFacts, nowMs: number): string | undefined {
    if (notAfterMs !== this.#notAfterMs) this.#saidDays = Number.POSITIVE_INFINITY;
    this.#notAfterMs = notAfterMs;
    const leftDays = (notAfterMs - nowMs) / DAY_MS;
    const step = leftDays <= 0 ? 0 : STEPS.find((days) => leftDays <= days);
    if (step === undefined || step >= this.#saidDays) return undefined;
    this.#saidDays = step;
    if (step === 0)
      return 'the certificate of this host has expired: others refuse it (renew it: godwit tls host DIR NAME)';
    return `the certificate of this host expires in less than ${step === 1 ? 'a day' : `${step} days`}: renew it (godwit tls host DIR NAME)`;
  }
}
