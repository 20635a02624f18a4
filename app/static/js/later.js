/** Everything that the first two seconds do not need: loaded when the first view is there. */

import { byId } from "./dom.js";
import { offerCards } from "./cards.js";
import { offerClassroom } from "./classroom.js";
import { offerCode } from "./coding.js";
import { keepHistory } from "./history.js";
import { offerSaving } from "./saving.js";
import { store } from "./session.js";
import { offerSteps } from "./steps.js";

/** Put it to work. `turnTo(name, image)` turns to a model, with an image or the one that is there. */
export function begin(turnTo) {
  offerCards(turnTo);
  offerClassroom();
  offerCode();
  offerSaving();
  offerSteps();
  keepHistory(turnTo);
  for (const button of document.querySelectorAll("dialog .close")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
  const ready = ({ seen }) => {
    for (const id of ["code", "save"]) byId(id).disabled = !seen;
  };
  store.on(["seen"], ready);
  ready(store.values);
}
