/** That numbers can be read in every cell of the dashboard's matrix, in both themes. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { cellColours } from '../web/fleet/cell-colours.ts';

type Triple = readonly [number, number, number];

const TOKENS = readFileSync(new URL('../web/style/tokens.css', import.meta.url), 'utf8');
/** WCAG 2.2, 1.4.3, of text below 18 pt. */
const LEAST_CONTRAST = 4.5;

/** In linear light. @param text - #rrggbb */
function parse(text: string): Triple {
  return [1, 3, 5].map((at) => {
    const part = Number.parseInt(text.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as unknown as Triple;
}

const times = (rows: readonly Triple[], by: Triple): Triple =>
  rows.map((row) => row.reduce((sum, factor, at) => sum + factor * by[at]!, 0)) as unknown as Triple;

// The matrices of CSS Color 4 for OKLab, from and to linear sRGB.
const toLab = (rgb: Triple): Triple => {
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb,
  ).map(Math.cbrt) as unknown as Triple;
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones,
  );
};
const fromLab = (lab: Triple): Triple => {
  const cones = times(
    [
      [1, 0.3963377774, 0.2158037573],
      [1, -0.1055613458, -0.0638541728],
      [1, -0.0894841775, -1.291485548],
    ],
    lab,
  ).map((each) => each ** 3) as unknown as Triple;
  return times(
    [
      [4.0767416621, -3.3077115913, 0.2309699292],
      [-1.2684380046, 2.6097574011, -0.3413193965],
      [-0.0041960863, -0.7034186147, 1.707614701],
    ],
    cones,
  ).map((each) => Math.min(1, Math.max(0, each))) as unknown as Triple;
};
const luminance = ([red, green, blue]: Triple): number => 0.2126 * red + 0.7152 * green + 0.0722 * blue;

/** Of both themes. */
const pairIn = (text: string): readonly string[] => /light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/.exec(text)!.slice(1);
const tokenOf = (name: string): readonly string[] =>
  pairIn(TOKENS.split('\n').find((line) => line.includes(`${name}:`)) ?? '');

test.each([
  ['light', 0],
  ['dark', 1],
])('every cell has the contrast in the %s theme', (_, theme) => {
  const contrasts = Array.from({ length: 101 }, (_unused, percent) => {
    const { background, color } = cellColours(percent);
    const [, more, share, less] = /^color-mix\(in oklab, var\((.+)\) (\d+)%, var\((.+)\)\)$/.exec(background)!;
    const [colour, surface] = [more!, less!].map((name) => toLab(parse(tokenOf(name)[theme]!))) as [Triple, Triple];
    const part = Number(share) / 100;
    const mixed = fromLab(colour.map((each, at) => part * each + (1 - part) * surface[at]!) as unknown as Triple);
    const [dark, light] = [luminance(mixed), luminance(parse(pairIn(color)[theme]!))].sort((a, b) => a - b);
    return (light! + 0.05) / (dark! + 0.05);
  });
  expect(Math.min(...contrasts)).toBeGreaterThanOrEqual(LEAST_CONTRAST);
});
