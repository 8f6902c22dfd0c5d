/**
 * Plans as the controller's API tells them, and what VMs have in common.
 *
 * Must hold: whatever a plan says by a tag it says in a sentence as well (`text`); nothing may decide by sentences.
 */
import { z } from 'zod';

export const QuantilesSchema = z
  .object({ p10: z.number(), p50: z.number(), p90: z.number() })
  .describe('Eight of ten actual values are meant to lie between p10 and p90.');

export const PredictedSchema = z.object({
  bytes: QuantilesSchema,
  totalMs: QuantilesSchema,
  downtimeMs: QuantilesSchema,
});
export type PredictedView = z.output<typeof PredictedSchema>;

const route = { from: z.string(), to: z.string() };

const PlannedMoveSchema = z.object({
  vm: z.string(),
  ...route,
  detourTo: z
    .string()
    .nullable()
    .describe('Where it goes in the end, when `to` is a detour that makes room for others.'),
  group: z.number().describe('Number of its group in `groups`.'),
  startsAtMs: z.number(),
  endsAtMs: z.number().describe('By p50.'),
  bytesPerSecond: z.number(),
  prediction: z.looseObject({
    ...PredictedSchema.shape,
    ending: z.enum(['finish', 'postCopy', 'giveUp']),
    boundMs: z.number().describe('No later than this it is over if post-copy begins at once.'),
  }),
  finishByMs: z.number().nullable().describe('From its start, for its deadline to hold; null: nothing is promised.'),
  wait: z
    .looseObject({
      kind: z.enum(['bandwidth', 'memory', 'quiet', 'contents', 'keepsFree', 'retry', 'turn']),
      untilMs: z.number().optional(),
    })
    .nullable()
    .describe('Why it does not start now; null: it does.'),
  text: z.string().describe('All of this in a sentence.'),
});

const PlannedGroupSchema = z.object({
  ...route,
  vms: z.array(z.string()).readonly().describe('In the order in which they go.'),
  prediction: PredictedSchema,
  heldPages: z.number().describe('Pages whose contents the destination holds by then.'),
  pages: z.number(),
});

const BundleSchema = z.object({
  vms: z.array(z.string()),
  region: z
    .string()
    .nullable()
    .describe('Memory that they share: they go by one migration of their group. null: each by its own.'),
  text: z.string().describe('The same in a sentence.'),
});

export const FleetPlanSchema = z
  .object({
    from: z.string(),
    to: z.string().nullable().describe('null: to wherever is best.'),
    deadlineAtMs: z.number().nullable(),
    madeAtMs: z.number(),
    makespanMs: z.number().describe('From now until all is over.'),
    lowerBoundMs: z.number().describe('No plan with these predictions is over sooner.'),
    quietBoundMs: z
      .number()
      .describe('The same of plans that wait for the quiet phases that this one waits for, which they need not.'),
    askAgainAtMs: z.number().nullable().describe('The plan changes then even if nothing happens.'),
    moves: z.array(PlannedMoveSchema).describe('In order of their starts; those without `wait` would start now.'),
    groups: z.array(PlannedGroupSchema).readonly(),
    bundles: z.array(BundleSchema).describe('VMs that begin at one moment and go to one host.'),
    refused: z.array(z.object({ vm: z.string(), why: z.looseObject({ kind: z.string() }), text: z.string() })),
    late: z
      .array(z.object({ vm: z.string(), byMs: z.number() }))
      .describe('Those that will be there too late, by p50, the last first.'),
    unreachable: z.array(z.object({ name: z.string(), failure: z.string() })).describe('Hosts that do not answer.'),
    words: z.array(z.string()).describe('The whole plan, one sentence each.'),
  })
  .meta({ id: 'FleetPlan', description: 'What an evacuation would do now, and why.' });
export type FleetPlanView = z.output<typeof FleetPlanSchema>;

export const CommonPairSchema = z
  .object({
    a: z.string(),
    b: z.string(),
    commonBytes: z.number().describe('Different contents that both have, estimated.'),
    standardErrorBytes: z.number(),
    part: z.number().describe('Of the contents of the one that has fewer, 0 to 1.'),
  })
  .meta({ id: 'CommonPair' });
export type CommonPairView = z.output<typeof CommonPairSchema>;
