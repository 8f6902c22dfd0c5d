/**
 * What each host told last.
 *
 * Must hold: a host that falls silent keeps its place in the picture, so that plans stay whole (what is on its way there
 * still fills ports and memory); that it is silent is told with it, and when it was asked for what it
 * told is kept.
 */
import type { Answer, Told } from './fleet-picture.ts';

export class LastOutlooks {
  readonly #last = new Map<string, Told>();

  /** The same answers, those of silent hosts with what is known. */
  complete(answers: readonly Answer[]): Answer[] {
    return answers.map((answer) => {
      if ('outlook' in answer) {
        this.#last.set(answer.name, { outlook: answer.outlook, askedAtMs: answer.askedAtMs });
        return answer;
      }
      const last = this.#last.get(answer.name);
      return last ? { ...answer, last } : answer;
    });
  }
}
