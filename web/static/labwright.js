// What the page does beyond plain forms and links. Everything can be read without it.
"use strict";
