"""Portuguese: what the server says an operator can do, one sentence for each reason of a session."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "WhatsApp has banned the number for a time: wait, then start the session": "o WhatsApp baniu o número por um tempo: espere, depois inicie a sessão",
    "WhatsApp refused the login: read the detail, then start the session": "o WhatsApp recusou o login: leia o detalhe, depois inicie a sessão",
    "WhatsApp refuses this version: upgrade Zapvisor, then start the session": "o WhatsApp recusa esta versão: atualize o Zapvisor, depois inicie a sessão",
    "another client uses the same login: stop that one, then start the session": "outro cliente usa o mesmo login: pare-o, depois inicie a sessão",
    "another worker runs this session: end it, then start the session": "outro worker roda esta sessão: encerre-o, depois inicie a sessão",
    "check the disk and the session's folder, then start the session": "verifique o disco e a pasta da sessão, depois inicie a sessão",
    "check the session's proxy: `zapvisor proxy test` tells what is wrong with it": "verifique o proxy da sessão: `zapvisor proxy test` diz o que há de errado",
    "end the other process that holds the session's folder; the rest happens by itself": "encerre o outro processo que segura a pasta da sessão; o resto acontece sozinho",
    "look at /health and the logs": "olhe /health e os logs",
    "make room on the disk; the rest happens by itself": "libere espaço no disco; o resto acontece sozinho",
    "nothing: the next request for it starts it again": "nada: a próxima requisição para ela a inicia de novo",
    "nothing: a fresh worker takes over, and is back within a second": "nada: um worker novo assume, e volta em um segundo",
    "pairing failed: start the session and pair again": "o pareamento falhou: inicie a sessão e pareie de novo",
    "read the session's log, correct the settings, then start the session": "leia o log da sessão, corrija as configurações, depois inicie a sessão",
    "read the session's log, repair the cause, then start the session": "leia o log da sessão, repare a causa, depois inicie a sessão",
    "scan the QR code, or ask for a pairing code": "leia o código QR, ou peça um código de pareamento",
    "start the session": "inicie a sessão",
    "start the session to get a new QR code": "inicie a sessão para ter um novo código QR",
    "start the session to pair it again": "inicie a sessão para pareá-la de novo",
    "start the session: its process was stopped with supervisorctl": "inicie a sessão: o processo dela foi parado com supervisorctl",
    "stop a session, or raise MAX_SESSIONS or SPARE_PORTS": "pare uma sessão, ou aumente MAX_SESSIONS ou SPARE_PORTS",
    "wait: a fresh worker starts; raise the limit if that happens often": "espere: um worker novo inicia; aumente o limite se isso for frequente",
    "wait: a worker that gives no sign of life is replaced by itself": "espere: um worker sem sinal de vida é substituído sozinho",
    "wait: a worker that stays silent is replaced by itself": "espere: um worker que fica em silêncio é substituído sozinho",
    "wait: it is being deleted": "espere: está sendo excluída",
    "wait: it is connected anew by itself, then its worker is replaced; check the network if it stays": "espere: ela reconecta sozinha, depois o worker é substituído; verifique a rede se persistir",
    "wait: it is connecting to WhatsApp": "espere: está conectando ao WhatsApp",
    "wait: it is logging in": "espere: está entrando",
    "wait: it is started again after a pause; its log says why it died": "espere: é iniciada de novo após uma pausa; o log diz por que morreu",
    "wait: it is started again by itself; its log says why it died": "espere: é iniciada de novo sozinha; o log diz por que morreu",
    "wait: it reconnects by itself; check the network if it does not": "espere: ela reconecta sozinha; verifique a rede se isso não acontecer",
    "wait: the worker is replaced by itself": "espere: o worker é substituído sozinho",
    "wait: the worker is starting": "espere: o worker está iniciando",
    "write only to people who wrote first until WhatsApp lifts the restriction": "escreva só a quem escreveu primeiro até o WhatsApp retirar a restrição",
}
