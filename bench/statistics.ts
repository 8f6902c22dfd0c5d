/** The ends of a series of measurements. */

export function smallest(samples: readonly number[]): number {
  return Math.min(...samples);
}

export function largest(samples: readonly number[]): number {
  return Math.max(...samples);
}
