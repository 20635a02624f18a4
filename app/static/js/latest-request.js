/**
 * Of a stream of jobs only the newest counts, and one is in flight at a time, so nothing piles up.
 *
 * `now` starts at once and aborts the one in flight. `soon` is for jobs that come many times a second: it waits for the
 * answer in flight, and for as long again as a quarter of its round trip. So the pace follows the link: many answers a
 * second nearby, and no queue from far away. The newest job is always asked at last.
 * A job that failed for a passing reason is tried again until a newer one comes; `soon` leaves the server in peace until
 * then, or a hand that draws on would ask a busy one many times a second.
 */

import { Gone, Refusal } from "./api.js";

const LEAST_PACE_MS = 60; // ms between starts: no eye sees more
const MOST_PACE_MS = 4000;
const REST_SHARE = 1.25; // of a round trip, from one start to the next
const TIMEOUT_MS = 8000; // ms until an answer that does not come gives way, twice that for the next one, and so on
const SLOW_MS = 2500; // ms until the user should be told
const LONGEST_WAIT_S = 15; // s between attempts
const REST_S = 1; // s that a server has to itself where it does not say how long

export class LatestRequest {
  #report;
  #controller = null;
  #timer = 0;
  #started = -Infinity;
  #least;
  #pace;
  #timeout = TIMEOUT_MS;
  #rested = -Infinity; // when a server that could not answer may be asked again
  #coming = null; // the job that `soon` has in hand

  /**
   * `report` is told what happens: {slow()}, {well()} and {failed(error, seconds until the next attempt or null)}. `pace` is
   * the least time in ms from one start to the next.
   */
  constructor(report, { pace = LEAST_PACE_MS } = {}) {
    this.#report = report;
    this.#least = this.#pace = pace;
  }

  now(job) {
    this.#start(job, 0);
  }

  soon(job) {
    this.#coming = job;
    const pace = this.#controller ? this.#timeout : this.#pace;
    const due = Math.max(this.#started + pace, this.#rested) - performance.now();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(job, 0), Math.max(0, due));
  }

  /** Start the job that came meanwhile when it is due. */
  #next() {
    this.#controller = null;
    this.soon(this.#coming);
  }

  /** Forget the job in flight and the one to be tried again. */
  cancel() {
    this.#stop();
    this.#report.well();
  }

  #stop() {
    clearTimeout(this.#timer);
    this.#coming = null;
    this.#controller?.abort();
    this.#controller = null;
  }

  async #start(job, attempt) {
    // One that must give way needs more time than it had: let the next have it, or under load none would be answered.
    if (this.#controller && this.#coming === job) this.#timeout *= 2;
    this.#stop();
    const controller = (this.#controller = new AbortController());
    const started = (this.#started = performance.now());
    const slow = setTimeout(() => this.#report.slow(), SLOW_MS);
    try {
      await job(controller.signal);
      if (controller.signal.aborted) return;
      this.#pace = Math.min(MOST_PACE_MS, Math.max(this.#least, REST_SHARE * (performance.now() - started)));
      this.#timeout = TIMEOUT_MS;
      this.#rested = -Infinity;
      this.#report.well();
      if (this.#coming) this.#next();
    } catch (error) {
      if (controller.signal.aborted) return;
      controller.abort(); // what the job still has under way
      const wait = pause(error, this.#coming ? 0 : attempt);
      this.#report.failed(error, wait);
      this.#rested = wait === null ? -Infinity : performance.now() + 1000 * (error.retryAfter ?? REST_S);
      if (wait === null && !this.#coming) return;
      if (this.#coming) this.#next(); // was to start before the server asked for a rest
      else this.#timer = setTimeout(() => this.#start(job, attempt + 1), 1000 * wait);
    } finally {
      clearTimeout(slow);
      if (this.#controller === controller) this.#controller = null;
    }
  }
}

/** Seconds until the same is worth asking again, or null. */
function pause(error, attempt) {
  const patience = Math.min(LONGEST_WAIT_S, 2 ** attempt);
  if (error instanceof Gone) return patience;
  if (error instanceof Refusal && error.passes) return Math.max(error.retryAfter ?? 0, patience);
  return null;
}
