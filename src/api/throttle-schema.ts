/** When and how far a migration may slow the vCPUs (S3–S5), as a request says it. */
import { flag, integer, number, strictObject } from './field.ts';

export const ThrottleSchema = strictObject({
  enabled: flag().optional().describe('Whether the vCPUs may be slowed at all.'),
  minRatio: number(0, 1e6, 'give a number from 0 to 1000000')
    .optional()
    .describe('S3: slow down when transmission rate ÷ modification rate is at or below this.'),
  minPagesPerSecond: number(0, 1e9, 'give pages a second from 0')
    .optional()
    .describe('S4: slow down when fewer pages a second than this are sent; 0 is off.'),
  historyPagesPerSecond: number(0, 1e9, 'give pages a second from 0')
    .optional()
    .describe('S5: slow down from the start when the history shows more modified pages a second; 0 is off.'),
  maxPercent: integer(0, 99, 'give a whole percentage from 0 to 99')
    .optional()
    .describe("The strongest slowdown, in percent of the vCPUs' time."),
});
