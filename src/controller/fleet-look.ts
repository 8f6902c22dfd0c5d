/**
 * Looking at a fleet: all of its hosts are asked, and what they told before they fell silent is kept.
 *
 * Must hold: a host that is marked for maintenance, or that is being evacuated, takes no VMs, in every look: of two hosts that are
 * evacuated at once none must send the other its VMs.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import type { FleetFile } from './fleet-file.ts';
import type { FleetHosts } from './fleet-hosts.ts';
import { type Answer, type FleetPicture, picture } from './fleet-picture.ts';
import { JoinedContents } from './joined-contents.ts';
import { LastOutlooks } from './last-outlooks.ts';
import { closedHosts, type Maintenance, type Mark, withMarks } from './maintenance.ts';

export interface Seen {
  readonly atMs: number;
  /** With the marks. */
  readonly file: FleetFile;
  readonly marks: ReadonlyMap<string, Mark>;
  readonly answers: readonly Answer[];
  /** When each host answered last; those that never did are not there. */
  readonly heardAtMs: ReadonlyMap<string, number>;
  readonly picture: FleetPicture;
}

/** All that is seen, whoever looks. */
export interface Asked extends Omit<Seen, 'file' | 'picture'> {
  /** Without the marks. */
  readonly file: FleetFile;
  readonly isBrief: boolean;
  /** Hosts that all VMs are just leaving. */
  readonly left: ReadonlySet<string>;
}

/** Hosts that take longer to tell what is in all of their VMs are not waited for. */
const LONGEST_TELLING_MS = 60_000;

export interface FleetLookOptions {
  /** As it is at the moment. */
  file(): FleetFile;
  readonly hosts: FleetHosts;
  readonly maintenance: Maintenance;
  /** Hosts that all VMs are just leaving. */
  left(): Promise<ReadonlySet<string>>;
}

export class FleetLook {
  readonly #options: FleetLookOptions;
  readonly #last = new LastOutlooks();
  readonly #joined = new JoinedContents();
  readonly #heardAtMs = new Map<string, number>();

  constructor(options: FleetLookOptions) {
    this.#options = options;
  }

  /** Again and again until hosts have told what is in all of their VMs, if they do so in time. */
  async lookThrough(): Promise<Seen> {
    const untilMs = performance.now() + LONGEST_TELLING_MS;
    for (;;) {
      const seen = await this.look(false);
      if (seen.picture.partial.length === 0 || performance.now() > untilMs) return seen;
    }
  }

  /**
   * @param isBrief - without what is in VMs
   * @param together - VMs that are to go together beside those of the file
   */
  async look(isBrief: boolean, together: FleetFile['together'] = []): Promise<Seen> {
    return this.see(await this.ask(isBrief), together);
  }

  /** @param isBrief - without what is in VMs */
  async ask(isBrief: boolean): Promise<Asked> {
    const { hosts, maintenance } = this.#options;
    const file = this.#options.file();
    hosts.follow(file);
    const all = [hosts.ask(isBrief), maintenance.marks(), this.#options.left()] as const;
    const [asked, marks, left] = await Promise.all(all);
    const atMs = Date.now();
    for (const { name, ...answer } of asked) if ('outlook' in answer) this.#heardAtMs.set(name, atMs);
    const answers = this.#last.complete(asked);
    return { atMs, file, isBrief, marks, left, answers, heardAtMs: new Map(this.#heardAtMs) };
  }

  /** @param together - VMs that are to go together beside those of the file */
  see({ atMs, file, isBrief, marks, left, answers, heardAtMs }: Asked, together: FleetFile['together']): Seen {
    const marked = withMarks({ ...file, together: [...file.together, ...together] }, marks, left);
    const closed = closedHosts(marks, left);
    // What is in VMs is not known to a brief look.
    const joined = isBrief ? new JoinedContents() : this.#joined;
    const seen = picture(marked, answers, atMs, closed, joined);
    return { atMs, file: marked, marks, answers, heardAtMs, picture: seen };
  }
}

/** What it told last; undefined: nothing ever. */
export function outlookOf(answer: Answer | undefined): OutlookView | undefined {
  if (!answer) return undefined;
  return 'outlook' in answer ? answer.outlook : answer.last?.outlook;
}
