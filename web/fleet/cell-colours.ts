/**
 * The colours of a cell of the matrix: the more two VMs have in common, the more of one colour.
 *
 * Pure. Must hold: what stands in a cell has a contrast of 4.5 : 1 or more to it, whatever the value, in both themes
 * (test/dashboard-contrast.test.ts computes it from style/tokens.css).
 */
export interface CellColours {
  readonly background: string;
  readonly color: string;
}

/**
 * Up to here black is read on the light theme's blue, and white on the dark theme's; beyond it the other one. Only black and white
 * leave no value between at which neither has the contrast.
 */
const LIGHT_BLACK_TO_PERCENT = 87;
const DARK_WHITE_TO_PERCENT = 65;

export function cellColours(percent: number): CellColours {
  const light = percent <= LIGHT_BLACK_TO_PERCENT ? '#000000' : '#ffffff';
  const dark = percent <= DARK_WHITE_TO_PERCENT ? '#ffffff' : '#000000';
  return {
    background: `color-mix(in oklab, var(--series-sent) ${percent}%, var(--surface))`,
    color: `light-dark(${light}, ${dark})`,
  };
}
