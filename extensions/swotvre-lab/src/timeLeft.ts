/** Times and texts of a session's end: values in, text out. */

/** Say a duration as a person would: "3 h 12 min", "12 min", "less than 1 min". */
export function sayDuration(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) {
    return 'less than 1 min';
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 1) {
    return `${minutes} min`;
  }
  const rest = minutes % 60;
  return rest === 0 ? `${hours} h` : `${hours} h ${rest} min`;
}

/** The text of the status bar: "medium · 3 h 12 min left". */
export function sayStatus(title: string, secondsLeft: number | null): string {
  if (secondsLeft === null) {
    return title;
  }
  const left = secondsLeft > 0 ? `${sayDuration(secondsLeft)} left` : 'ending now';
  return `${title} · ${left}`;
}

/** The time of day, with the day when it is not today's. */
export function sayTime(time: Date, now: Date, locale?: string): string {
  const clock = time.toLocaleTimeString(locale, {
    hour: '2-digit',
    minute: '2-digit'
  });
  if (time.toDateString() === now.toDateString()) {
    return clock;
  }
  const day = time.toLocaleDateString(locale, {
    weekday: 'short',
    day: 'numeric',
    month: 'short'
  });
  return `${day}, ${clock}`;
}

/**
 * The warning to give now, in minutes before the end: the latest one that is
 * due and was not given; null when there is none. Earlier ones that were missed
 * (a page opened late) are not made up for.
 */
export function findDueWarning(
  secondsLeft: number,
  warnings: readonly number[],
  lastGiven: number | null
): number | null {
  const due = warnings.filter(minutes => secondsLeft <= minutes * 60);
  if (secondsLeft <= 0 || due.length === 0) {
    return null;
  }
  const latest = Math.min(...due);
  return lastGiven !== null && lastGiven <= latest ? null : latest;
}

/** Say a number of open documents. */
export function sayDocuments(count: number): string {
  return count === 1 ? '1 open document' : `${count} open documents`;
}
