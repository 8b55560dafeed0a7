"""The functions of the Go library that operations call: name → what they take and give.

A letter an argument: `m` an encoded message or other bytes (the library takes pointer and length), `s` a text, `i` an int, `l` a
64-bit int, `q` a bool. After `>`: `b` an encoded message, `s` a text, which is the error and empty when there is none. The handle
of the client, always the first argument, is left out. Source: the library's exported C header, neonize 0.5.2.
"""

from __future__ import annotations

from typing import Final

EXPORTS: Final[dict[str, str]] = {
    # people
    "GetUserInfo": "m>b",
    "IsOnWhatsApp": "s>b",
    "GetProfilePicture": "mm>b",
    "SetProfilePhoto": "m>b",
    "SetPushName": "s>s",
    "GetPrivacySettings": ">b",
    "GetAllContacts": ">b",
    # groups
    "GetGroupInfo": "m>b",
    "GetJoinedGroups": ">b",
    "GetGroupInfoFromLink": "s>b",
    "JoinGroupWithLink": "s>b",
    "GetGroupInviteLink": "mq>b",
    "GetGroupRequestParticipants": "m>b",
    "CreateGroup": "m>b",
    "LeaveGroup": "m>s",
    "UpdateGroupParticipants": "mms>b",
    "SetGroupPhoto": "mm>b",
    "SetGroupName": "ms>s",
    "SetGroupTopic": "msss>s",
    "SetGroupLocked": "mq>s",
    "SetGroupAnnounce": "mq>s",
    # newsletters
    "GetSubscribedNewsletters": ">b",
    "GetNewsletterMessages": "mii>b",
    "UnfollowNewsletter": "m>s",
    "NewsletterSubscribeLiveUpdates": "m>b",
    # chats, calls, polls
    "SetDisappearingTimer": "mll>s",
    "SendAppState": "m>s",
    "RejectCall": "ms>s",
    "DecryptPollVote": "m>b",
    "SubscribePresence": "m>s",
    # presence and receipts of our own
    "SetPassive": "q>s",
    "SendPresence": "s>s",
    "SendChatPresence": "mii>s",
    "MarkRead": "simms>s",
}
