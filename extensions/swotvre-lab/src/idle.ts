import { Notification } from '@jupyterlab/apputils';

import type { ISession } from './session';
import { sayDuration, sayTime } from './timeLeft';

/** Tells the user before an unused session is ended, and lets him keep it. */
export class IdleWarner {
  constructor(private readonly keep: () => Promise<void>) {}

  /** Look whether the warning is to be given or taken back. */
  look(session: ISession): void {
    if (!isDue(session)) {
      this.takeBack();
      return;
    }
    if (this.shown !== null || session.idleEndsAt === null) {
      return;
    }
    const idle = sayDuration(session.answer.idle_seconds);
    const end = sayTime(session.idleEndsAt, new Date());
    this.shown = Notification.warning(
      `Nothing has run here for ${idle}. This session ends at ${end} unless you run something or keep it.`,
      {
        autoClose: false,
        actions: [
          {
            label: 'Keep my session',
            caption: 'Start counting the time without use anew',
            displayType: 'accent',
            callback: () => void this.keepNow()
          }
        ]
      }
    );
  }

  private async keepNow(): Promise<void> {
    try {
      await this.keep();
      Notification.success('Your session is kept.', { autoClose: 5000 });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      Notification.error(
        `The session could not be kept: ${reason}. Run any cell to keep it.`,
        { autoClose: false }
      );
    }
  }

  private takeBack(): void {
    if (this.shown !== null) {
      Notification.dismiss(this.shown);
      this.shown = null;
    }
  }

  private shown: string | null = null;
}

function isDue(session: ISession): boolean {
  const { answer, endsAt, idleEndsAt } = session;
  if (idleEndsAt === null || answer.idle_warning_seconds === null) {
    return false;
  }
  const endsEarlier = endsAt !== null && endsAt <= idleEndsAt;
  const left = (idleEndsAt.getTime() - Date.now()) / 1000;
  return !endsEarlier && left <= answer.idle_warning_seconds;
}
