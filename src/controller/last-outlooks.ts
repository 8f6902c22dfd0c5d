/**
 * What each host told last.
 *
 * Must hold: a host that falls silent keeps its place in the picture, so that plans stay whole (what is on its way there
 * still fills ports and memory); that it is silent is told with it.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import type { Answer } from './fleet-picture.ts';

export class LastOutlooks {
  readonly #last = new Map<string, OutlookView>();

  /** The same answers, those of silent hosts with what is known. */
  complete(answers: readonly Answer[]): Answer[] {
    return answers.map((answer) => {
      if ('outlook' in answer) {
        this.#last.set(answer.name, answer.outlook);
        return answer;
      }
      const last = this.#last.get(answer.name);
      return last ? { ...answer, last } : answer;
    });
  }
}
